"""A trial call tells what was said, and in words what to mend; credentials never stand in it."""

import base64
from pathlib import Path

import pytest

from email_campaign.delivery.connect import RelayTarget
from email_campaign.delivery.smtp import Timeouts
from email_campaign.delivery.trial_call import TrialCall, call_relay
from email_campaign.local.ports import free_port
from tests.tools.scripted_smtp import Rule, Script, running_smtp

SENDER = "news@example.com"


def _target(port: int, *, security: str = "none", username: str = "", password: str = "") -> RelayTarget:
    quick = Timeouts(connect=0.5, command=0.5, final_dot=0.5)
    return RelayTarget("127.0.0.1", port, security, username, password, "test.example", quick)


def _said(call: TrialCall) -> str:
    return "\n".join(f"{line.who}: {line.text}" for line in call.lines)


def test_a_relay_that_works_is_called_without_handing_a_mail_over(tmp_path: Path) -> None:
    with running_smtp(Script(), tmp_path / "log") as server:
        call = call_relay(_target(server.address[1]), SENDER)
        assert call.error == ""
        assert [line.text for line in call.lines if line.who == "we"] == [
            "EHLO test.example",
            f"MAIL FROM:<{SENDER}>",
            "RSET",
            "QUIT",
        ]
        assert call.lines[1].text.startswith("220 ")
        assert server.bodies == []


@pytest.mark.parametrize("step", ["connect", "ehlo", "mail"])
def test_what_the_relay_refuses_is_told_in_its_words(step: str, tmp_path: Path) -> None:
    refusal = Rule(step, reply=b"530 5.7.0 Must issue a STARTTLS command first")
    with running_smtp(Script(rules=[refusal, refusal]), tmp_path / "log") as server:
        call = call_relay(_target(server.address[1]), SENDER)
    assert "530 5.7.0 Must issue a STARTTLS command first" in call.error
    assert "530 5.7.0 Must issue" in _said(call)
    assert any(line.is_refusal for line in call.lines)


def test_credentials_are_used_and_never_shown(tmp_path: Path) -> None:
    with running_smtp(Script(auth=True), tmp_path / "log") as server:
        call = call_relay(_target(server.address[1], username="shop", password="hunter2"), SENDER)
    assert call.error == ""
    assert "we: AUTH PLAIN (credentials)" in _said(call)
    for secret in (b"hunter2", b"shop", b"\0shop\0hunter2"):
        assert base64.b64encode(secret).decode().rstrip("=") not in _said(call)
    assert "hunter2" not in _said(call)


def test_refused_credentials_are_named_as_such(tmp_path: Path) -> None:
    script = Script(auth=True, rules=[Rule("auth", reply=b"535 5.7.8 Bad credentials")])
    with running_smtp(script, tmp_path / "log") as server:
        call = call_relay(_target(server.address[1], username="shop", password="hunter2"), SENDER)
    assert call.error == "The relay refuses the user name or the password: 535 5.7.8 Bad credentials"


def test_a_port_where_nobody_listens_names_the_settings() -> None:
    call = call_relay(_target(free_port()), SENDER)
    assert "Nobody listens at 127.0.0.1:" in call.error
    assert "SMTP_HOST" in call.error


@pytest.mark.parametrize(
    ("security", "said"), [("starttls", "offers no STARTTLS"), ("tls", "does not speak TLS from the start")]
)
def test_a_wrong_kind_of_encryption_is_recognised(security: str, said: str, tmp_path: Path) -> None:
    with running_smtp(Script(), tmp_path / "log") as server:
        call = call_relay(_target(server.address[1], security=security), SENDER)
    assert said in call.error


@pytest.mark.parametrize(
    "rule", [Rule("ehlo", delay_seconds=5), Rule("connect", delay_seconds=5), Rule("ehlo", drop=True)]
)
def test_a_relay_that_hangs_or_hangs_up_ends_the_call(rule: Rule, tmp_path: Path) -> None:
    with running_smtp(Script(rules=[rule]), tmp_path / "log") as server:
        call = call_relay(_target(server.address[1]), SENDER)
    assert call.error.startswith("The relay at 127.0.0.1:")
    assert call.seconds < 3
