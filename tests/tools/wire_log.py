"""The wire log: what a scripted SMTP server saw and said, written before it answered, and read from outside."""

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log.

    kind: connect, auth, rcpt (taken or not), body-begun, body-complete, reply (to the dot, and every refusal), drop,
    close. `step` and `code` belong to replies and drops, hashes and headers to complete bodies.
    """

    kind: str
    at: float
    connection: int
    recipient: str = ""
    sender: str = ""
    step: str = ""
    code: int = 0
    message_id: str = ""
    delivery: str = ""
    sha256: str = ""
    size: int = 0


class WireLogWriter:
    """Appends events; `flush` hands them to the kernel in one write, so that they outlive this process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._lines: list[str] = []

    def add(self, **event: Any) -> None:
        """Keep the event for the next flush."""
        self._lines.append(_encode(event))

    def flush(self) -> None:
        """Write what was added. Called before every byte that the server sends."""
        if self._lines:
            os.write(self._file, ("\n".join(self._lines) + "\n").encode())
            self._lines.clear()

    def close(self) -> None:
        """Write the rest and close the file."""
        self.flush()
        os.close(self._file)


class WireLog:
    """The reader: every question reads the file again, so it may be asked while the server runs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def events(self, kind: str | None = None) -> list[Event]:
        """Everything so far, oldest first; a line that is still being written is left for the next time."""
        text = self.path.read_text() if self.path.exists() else ""
        found = [Event(**json.loads(line)) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [event for event in found if kind in {None, event.kind}]

    def bodies(self) -> list[Event]:
        """Every body that was complete, in the order of their dots."""
        return self.events("body-complete")

    def wait_for(self, kind: str, count: int, seconds: float = 20.0) -> None:
        """Return once so many events of this kind are written; fails after `seconds`."""
        deadline = time.monotonic() + seconds
        while len(self.events(kind)) < count:
            assert time.monotonic() < deadline, f"no {count} events {kind} within {seconds:g} s"
            time.sleep(0.005)

    def bodies_by_recipient(self) -> dict[str, list[Event]]:
        """Complete bodies by the address in RCPT TO."""
        return _grouped(self.bodies(), lambda event: event.recipient)

    def bodies_by_delivery(self) -> dict[str, list[Event]]:
        """Complete bodies by X-Delivery, or by Message-ID where the mail has no such header."""
        return _grouped(self.bodies(), lambda event: event.delivery or event.message_id)

    def duplicates(self) -> dict[str, list[Event]]:
        """Recipients with more than one complete body."""
        return {address: events for address, events in self.bodies_by_recipient().items() if len(events) > 1}

    def accepted(self) -> dict[str, int]:
        """How many bodies of each recipient were answered with 2xx (the answer may have been lost on its way)."""
        dots = (event for event in self.events("reply") if event.step == "dot" and 200 <= event.code < 300)
        return Counter(event.recipient for event in dots)

    def open_bodies(self) -> list[Event]:
        """Bodies that were begun and have had no answer yet: what a kill at this moment leaves unknown."""
        opened: dict[int, Event] = {}
        for event in self.events():
            if event.kind == "body-begun":
                opened[event.connection] = event
            elif event.kind in {"reply", "drop", "close"}:
                opened.pop(event.connection, None)
        return list(opened.values())

    def cut_bodies(self) -> list[Event]:
        """Bodies that were begun and on which the client hung up before an answer: what a kill cost."""
        opened: dict[int, Event] = {}
        cut = []
        for event in self.events():
            if event.kind == "body-begun":
                opened[event.connection] = event
            elif event.kind in {"reply", "drop"}:
                opened.pop(event.connection, None)
            elif event.kind == "close" and event.connection in opened:
                cut.append(opened.pop(event.connection))
        return cut

    def most_in_a_window(self, seconds: float) -> int:
        """The most complete bodies in any window of this length."""
        times = sorted(event.at for event in self.bodies())
        most = first = 0
        for last, at in enumerate(times):
            while at - times[first] >= seconds:
                first += 1
            most = max(most, last - first + 1)
        return most


_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def _grouped(events: Iterable[Event], key: Callable[[Event], str]) -> dict[str, list[Event]]:
    groups: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        groups[key(event)].append(event)
    return dict(groups)
