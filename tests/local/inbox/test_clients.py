"""Clients that others wrote for MailHog, used on our inbox: three of npm and one of PyPI, skipped where they lack."""

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from email_campaign.local.inbox.server import RunningInbox
from email_campaign.local.places import CHECKOUT
from tests.local.inbox.samples import SAMPLES
from tests.local.inbox.wire import deliver

CLIENTS = Path(__file__).with_name("clients")
NODE, NPM = shutil.which("node"), shutil.which("npm")
INSTALL = ["install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
BURST = 300


@pytest.fixture(scope="module")
def walk() -> list[str]:
    """The command line of clients/walk.js, beside packages that are installed once for these versions."""
    if NODE is None or NPM is None:
        pytest.skip("no Node.js with npm on this machine")
    wanted = (CLIENTS / "package.json").read_bytes()
    home = CHECKOUT / "build" / f"mailhog-clients-{hashlib.sha256(wanted).hexdigest()[:12]}"
    if not home.exists():
        home.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as name:
            Path(name, "package.json").write_bytes(wanted)
            try:
                subprocess.run([NPM, *INSTALL], cwd=name, capture_output=True, check=True, timeout=60)
            except (subprocess.SubprocessError, OSError) as error:
                pytest.skip(f"npm could not install the clients: {error}")
            Path(name).chmod(0o755)
            Path(name).rename(home)
            Path(name).mkdir()  # the context wants to remove it
    shutil.copy(CLIENTS / "walk.js", home)
    return [NODE, str(home / "walk.js")]


def deliver_all(inbox: RunningInbox, *names: str) -> list[str]:
    return [deliver(inbox.smtp_port, SAMPLES[name].data.encode()) for name in names]


def test_npms_mailhog_reads_searches_releases_and_deletes(walk: list[str], inbox: RunningInbox) -> None:
    ids = deliver_all(inbox, "attachment", "alternative", "encoded-words", "plain")
    done = subprocess.run(
        [*walk, "messages", inbox.http_url, str(inbox.smtp_port)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    saw: dict[str, Any] = json.loads(done.stdout)
    assert saw["page"] == [4, 2, 1]
    encoded, alternative = saw["mails"]
    assert encoded["from"] == "Jörg <sender@from.example>"
    assert (alternative["text"], alternative["html"]) == (
        "needle-alt text part",
        "<p>needle-alt <b>html</b> part</p>",
    )
    assert (saw["newest"]["id"], saw["latestFrom"]) == (ids[3], ids[3])
    assert (saw["latestContaining"], saw["nothing"], saw["search"]) == ("Alternative", 0, 4)
    assert (saw["released"], saw["deleted"], saw["deletedTwice"], saw["left"]) == (200, 200, 500, 4)
    assert (saw["deletedAll"], saw["empty"]) == (200, 0)


@pytest.mark.parametrize("what", ["websocket", "eventsource"])
def test_npms_ws_and_eventsource_get_every_mail_of_a_burst(what: str, walk: list[str], inbox: RunningInbox) -> None:
    deliver_all(inbox, "plain")
    with subprocess.Popen([*walk, what, inbox.http_url, str(BURST)], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout
        assert client.stdout.readline() == "open\n"
        raw = SAMPLES["plain"].data.encode()
        ids = [inbox.store.add("x", "a@b", ["b@x"], raw).id for _ in range(BURST)]
        assert json.loads(client.communicate(timeout=30)[0]) == ids
        assert client.returncode == 0


def test_pypis_mailhog_reads_searches_and_deletes(inbox: RunningInbox) -> None:
    mailhog = pytest.importorskip("mailhog", reason="the package mailhog is not installed")
    ids = deliver_all(inbox, "plain", "alternative")
    client = mailhog.Mailhog(inbox.smtp_host, int(inbox.http_url.rsplit(":", 1)[1]))
    found = client.messages(limit=1)
    assert (found.total, found.count, [mail.id for mail in found.items]) == (2, 1, ids[:0:-1])
    assert (found.items[0].get_sender(), found.items[0].get_recipients()) == (
        "sender@from.example",
        ["rcpt@to.example"],
    )
    assert client.search("needle-plain").total == 1
    client.delete(found.items[0])
    assert client.messages().total == 1
    client.delete_all()
    assert client.messages().total == 0
