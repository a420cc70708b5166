"""Logging set-up: one line an event on stderr, as text or as JSON, with ids and no addresses."""

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

Style = Literal["text", "json"]

IDS = ("campaign", "mailing", "position", "slice", "worker", "task", "error")
"""What a call may give in `extra`, to stand beside the message."""

# Whatever stands around an @: local parts in any script, quoted ones, and the @ as it stands in a URL. Bounded, so that
# a line without end costs no more than its length.
_ADDRESS = re.compile(r"""(?:"[^"\n]{1,320}"|[^\s<>@"'(),:;\[\]{}=/&?]{1,320})(@|%40)(?=[^\s@])""", re.IGNORECASE)
_BLOTTED = r"…\1"

_ids: ContextVar[Mapping[str, int | str]] = ContextVar("ids", default=MappingProxyType({}))


def configure(level: str, style: Style = "text") -> None:
    """Send every logger to stderr, uvicorn's own among them. Safe to repeat."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    uvicorn = logging.getLogger("uvicorn")
    uvicorn.handlers.clear()
    uvicorn.propagate = True


@contextmanager
def ids(**more: int | str) -> Iterator[None]:
    """Every line that is logged inside carries these ids too: of the request, the slice, the mailing."""
    token = _ids.set({**_ids.get(), **more})
    try:
        yield
    finally:
        _ids.reset(token)


def set_ids(**known: int | str) -> None:
    """From here on this thread's lines carry these ids and no others: a task begins, or ends (none)."""
    _ids.set(known)


def blot_addresses(text: str) -> str:
    """The text without the local part of anything that looks like an address. Passwords in URLs go with them."""
    return _ADDRESS.sub(_BLOTTED, text) if "@" in text or "%40" in text else text


class TextLines(logging.Formatter):
    """`time level logger: message`, and a traceback below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The whole of it blotted: an address may stand in the message, or in what an exception says."""
        return blot_addresses(super().format(record))


class JsonLines(logging.Formatter):
    """One object a line: time, level, logger, message, the ids, and an exception as text."""

    def format(self, record: logging.LogRecord) -> str:
        """Blotted before it is quoted, as a quote is a letter like any other in JSON."""
        line: dict[str, int | str] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_ids.get(),
            **{name: value for name in IDS if isinstance(value := record.__dict__.get(name), int | str)},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(
            {name: blot_addresses(value) if isinstance(value, str) else value for name, value in line.items()},
            ensure_ascii=False,
        )
