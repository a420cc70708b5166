"""Postfix's test programs: `smtp-sink`, which takes mail and throws it away, and `smtp-source`, the C client.

They come from the PATH, or out of Debian's packages, which are unpacked into `build/` and not installed.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.report import VoidRun
from email_campaign.local import ports
from email_campaign.local.places import CHECKOUT
from email_campaign.local.programs import Lifeline, Program, running

FOLDER = CHECKOUT / "build" / "postfix"
PACKAGES = ("postfix", "libdb5.3", "libicu72")
BACKLOG = 1024
CONNECTIONS_AT_MOST = 512
COUNTER_SECONDS = 2.0
"""The counter may come so much later than the mail."""
LOOK_SECONDS = 0.02
_COUNTER = re.compile(rb"mesg=(\d+)")


class NoPostfix(Exception):
    """There is no smtp-sink; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Postfix:
    """Where its programs are, and the environment that they need."""

    sbin: Path
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class Sink:
    """A running sink."""

    port: int
    counters: Path

    def count(self) -> int:
        """How many mails it has taken."""
        # It writes a counter a mail, parted by carriage returns: only the end of that flood is read.
        with self.counters.open("rb") as file:
            file.seek(max(0, self.counters.stat().st_size - 4096))
            found = _COUNTER.findall(file.read())
        return int(found[-1]) if found else 0


@contextmanager
def running_sink(lifeline: Lifeline, folder: Path, *options: str) -> Iterator[Sink]:
    """A fresh `smtp-sink` inside the `with`; it offers PIPELINING unless the options say `-p`."""
    postfix = find_postfix()
    port = ports.free_port()
    user = ("-u", "nobody") if os.geteuid() == 0 else ()
    most = ("-m", str(CONNECTIONS_AT_MOST))
    program = Program(
        name="smtp-sink",
        argv=(str(postfix.sbin / "smtp-sink"), *user, "-c", *most, *options, f"127.0.0.1:{port}", str(BACKLOG)),
        environment=postfix.environment,
        directory=folder,
        stop_order=1,
        is_ready=lambda: ports.is_answering("127.0.0.1", port),
    )
    log = folder / f"sink-{port}.log"
    with running(lifeline, program, log):
        yield Sink(port, log)
    log.unlink()


@contextmanager
def running_slow_sink(lifeline: Lifeline, folder: Path, delay_seconds: float) -> Iterator[Sink]:
    """A fresh sink of our own inside the `with`, which waits before it answers each final dot."""
    port = ports.free_port()
    program = Program(
        name="slow sink",
        argv=(sys.executable, "-m", "bench.slow_sink", str(port), str(delay_seconds)),
        environment=dict(os.environ),
        directory=CHECKOUT,
        stop_order=1,
        is_ready=lambda: ports.is_answering("127.0.0.1", port),
    )
    log = folder / f"sink-{port}.log"
    with running(lifeline, program, log):
        yield Sink(port, log)
    log.unlink()


def check_sink(sink: Sink, count: int) -> None:
    """The sink took as many mails as were sent. Raises VoidRun."""
    deadline = time.monotonic() + COUNTER_SECONDS
    while (taken := sink.count()) != count:
        if time.monotonic() > deadline:
            raise VoidRun(f"The run is void: {count:,} mails were sent, and the sink counted {taken:,}.")
        time.sleep(LOOK_SECONDS)


def run_source(sink: Sink, mails: int, options: Sequence[str]) -> None:
    """Send so many mails with `smtp-source` and return when it has ended."""
    postfix = find_postfix()
    argv = [str(postfix.sbin / "smtp-source"), *options, "-m", str(mails), f"127.0.0.1:{sink.port}"]
    subprocess.run(argv, check=True, env=postfix.environment, stdout=subprocess.DEVNULL)


def find_postfix() -> Postfix:
    """The programs of the PATH, else those of Debian's packages. Safe to repeat. Raises NoPostfix."""
    search = f"{os.environ.get('PATH', '')}:/usr/sbin"
    if (sink := shutil.which("smtp-sink", path=search)) and shutil.which("smtp-source", path=search):
        return Postfix(Path(sink).parent, {"PATH": search})
    if not (FOLDER / "usr/sbin/smtp-sink").exists():
        _unpack()
    libraries = [FOLDER / "usr/lib/postfix", *(FOLDER / "usr/lib").glob("*-linux-gnu*")]
    environment = {"PATH": search, "LD_LIBRARY_PATH": ":".join(map(str, libraries))}
    return Postfix(FOLDER / "usr/sbin", environment)


def _unpack() -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise NoPostfix(_advice("this is no Debian, so they cannot be unpacked from its packages"))
    half = FOLDER.with_name("postfix.half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    fetched = subprocess.run(["apt-get", "download", *PACKAGES], cwd=half, check=False, capture_output=True, text=True)
    if fetched.returncode:
        said = next((line for line in fetched.stderr.splitlines() if line.startswith("E:")), "no reason given")
        raise NoPostfix(_advice(f"Debian's packages {', '.join(PACKAGES)} could not be fetched ({said})"))
    for package in half.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(half)], check=True)
        package.unlink()
    half.rename(FOLDER)


def _advice(why: str) -> str:
    brew = "macOS carries them with its Postfix" if platform.system() == "Darwin" else "install Postfix"
    return (
        f"smtp-sink and smtp-source are not on the PATH, and {why}. They are part of Postfix: {brew} "
        "(on Debian and Ubuntu: apt-get install postfix, or apt-get update for the download), then run this again."
    )
