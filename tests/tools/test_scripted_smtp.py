"""The scripted server does what its rules say, and its log knows before the client does."""

import hashlib
import smtplib
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pytest

from tests.tools.scripted_smtp import Rule, Script, ScriptedServer, running_smtp
from tests.tools.wire_log import WireLog

MAIL = b"Message-ID: <one@x>\r\nX-Delivery: 7\r\nSubject: hi\r\n\r\n.a dot\r\n..two\r\nend\r\n"


class Raw:
    """A client that says exactly what it is told."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=5)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def reply(self) -> bytes:
        return self.file.readline().rstrip(b"\r\n")

    def say(self, line: bytes) -> bytes:
        self.socket.sendall(line + b"\r\n")
        return self.reply()

    def until_body(self, recipient: bytes) -> None:
        assert self.reply().startswith(b"220")
        for line, code in [(b"MAIL FROM:<s@x>", b"250"), (b"RCPT TO:<%b>" % recipient, b"250"), (b"DATA", b"354")]:
            assert self.say(line).startswith(code)


def send(server: ScriptedServer, *recipients: str, body: bytes = MAIL) -> list[int]:
    """One connection, one mail for each recipient; the code that ended each."""
    codes = []
    with smtplib.SMTP(*server.address, timeout=5) as client:
        for recipient in recipients:
            try:
                client.sendmail("s@x", [recipient], body)
                codes.append(250)
            except smtplib.SMTPRecipientsRefused as error:
                codes.append(error.recipients[recipient][0])
            except smtplib.SMTPResponseException as error:
                codes.append(error.smtp_code)
    return codes


def test_a_mail_is_taken_held_and_logged(tmp_path: Path) -> None:
    with running_smtp(Script(), tmp_path / "wire") as server:
        assert send(server, "a@x", "b@x", "a@x") == [250, 250, 250]
        assert server.bodies[0] == ("a@x", MAIL)
        first = server.log.bodies()[0]
        assert (first.recipient, first.sender, first.message_id, first.delivery) == ("a@x", "s@x", "<one@x>", "7")
        assert set(server.log.duplicates()) == {"a@x"}
        assert server.log.accepted() == {"a@x": 2, "b@x": 1}
        assert server.log.open_bodies() == []
        kinds = [event.kind for event in server.log.events()]
    assert kinds[:5] == ["connect", "rcpt", "body-begun", "body-complete", "reply"]


def test_the_hash_is_that_of_the_bytes_before_dot_stuffing(tmp_path: Path) -> None:
    with running_smtp(Script(), tmp_path / "wire") as server, Raw(server.address) as client:
        client.until_body(b"a@x")
        # The dot's five bytes come one by one.
        client.socket.sendall(b"..x\r\n...y\r\n")
        for byte in b"z\r\n.\r":
            client.socket.sendall(bytes([byte]))
            time.sleep(0.01)
        client.socket.sendall(b"\n")
        assert client.reply().startswith(b"250")
        assert server.bodies == [("a@x", b".x\r\n..y\r\nz\r\n")]
        assert server.log.bodies()[0].sha256 == hashlib.sha256(b".x\r\n..y\r\nz\r\n").hexdigest()


def test_rules_answer_by_recipient_and_only_so_often(tmp_path: Path) -> None:
    rules = [
        Rule("rcpt", b"451 4.7.1 greylisted", first=1, to="grey"),
        Rule("rcpt", b"550 5.1.1 gone", to=lambda address: address.startswith("dead")),
        Rule("dot", b"554 5.7.1 spam", to="spam"),
    ]
    with running_smtp(Script(rules), tmp_path / "wire") as server:
        assert send(server, "grey@x", "grey@x", "dead1@x", "spam@x", "fine@x", "grey@y") == [
            451,
            250,
            550,
            554,
            250,
            451,
        ]
        assert set(server.log.accepted()) == {"grey@x", "fine@x"}
        refused = [(event.recipient, event.code) for event in server.log.events("reply") if event.step == "rcpt"]
    assert refused == [("grey@x", 451), ("dead1@x", 550), ("grey@y", 451)]


@pytest.mark.parametrize(("step", "complete"), [("body", 0), ("dot", 1)])
def test_a_drop_leaves_the_client_without_an_answer(tmp_path: Path, step: str, complete: int) -> None:
    with running_smtp(Script([Rule(step, drop=True)]), tmp_path / "wire") as server, Raw(server.address) as client:
        client.until_body(b"a@x")
        client.socket.sendall(b"x\r\n.\r\n")
        with pytest.raises(ConnectionResetError):
            client.reply()
        assert len(server.log.bodies()) == complete
        assert server.log.accepted() == {}
        assert server.log.events()[-1].kind == "drop"


def test_a_delayed_answer_comes_late_and_is_still_open_in_the_log(tmp_path: Path) -> None:
    slow = Script([Rule("dot", delay_seconds=0.3)])
    with running_smtp(slow, tmp_path / "wire") as server, Raw(server.address) as client:
        client.until_body(b"a@x")
        start = time.monotonic()
        client.socket.sendall(b"x\r\n.\r\nNOOP\r\n")
        while not server.log.bodies():
            time.sleep(0.01)
        assert [event.recipient for event in server.log.open_bodies()] == ["a@x"]
        assert client.reply() == b"250 2.0.0 taken"
        assert time.monotonic() - start >= 0.3
        assert client.reply().startswith(b"250")


def test_a_cap_of_messages_ends_the_connection_with_421(tmp_path: Path) -> None:
    with running_smtp(Script(messages_per_connection=1), tmp_path / "wire") as server, Raw(server.address) as client:
        client.until_body(b"a@x")
        assert client.say(b"x\r\n.").startswith(b"250")
        assert client.say(b"MAIL FROM:<s@x>").startswith(b"421")
        assert client.reply() == b""


def test_it_refuses_connections_and_takes_them_again(tmp_path: Path) -> None:
    with running_smtp(Script([Rule("connect", b"421 4.3.2 busy", first=1)]), tmp_path / "wire") as server:
        server.refuse()
        with pytest.raises(ConnectionRefusedError):
            Raw(server.address)
        server.accept()
        with Raw(server.address) as client:
            assert client.reply() == b"421 4.3.2 busy"
        with Raw(server.address) as client:
            assert client.reply().startswith(b"220")
            server.cut_all()
            with pytest.raises(ConnectionResetError):
                client.reply()


def test_a_group_of_commands_is_answered_in_order(tmp_path: Path) -> None:
    with running_smtp(Script(pipelining=True, auth=True), tmp_path / "wire") as server, Raw(server.address) as client:
        client.reply()
        client.socket.sendall(b"EHLO me\r\n")
        greeting = [client.reply() for _ in range(7)]
        assert b"250-PIPELINING" in greeting
        assert greeting[-1] == b"250 AUTH PLAIN"
        client.socket.sendall(
            b"MAIL FROM:<s@x>\r\nRCPT TO:<a@x>\r\nDATA\r\nx\r\n.\r\nMAIL FROM:<s@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n.\r\n"
        )
        assert [client.reply()[:3] for _ in range(8)] == [b"250", b"250", b"354", b"250"] * 2
        assert server.bodies == [("a@x", b"x\r\n"), ("b@x", b"")]


def test_it_runs_as_a_process_and_its_log_outlives_a_kill(tmp_path: Path) -> None:
    log_path = tmp_path / "wire"
    argv = [sys.executable, "-m", "tests.tools.scripted_smtp", "--log", str(log_path)]
    script = '{"rules": [{"step": "rcpt", "reply": "550 5.1.1 gone", "to": "dead"}]}'
    with subprocess.Popen([*argv, "--script", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        with Raw(("127.0.0.1", port)) as client:
            client.until_body(b"a@x")
            assert client.say(b"x\r\n.").startswith(b"250")
            process.kill()
    assert WireLog(log_path).accepted() == {"a@x": 1}
