"""The terminal of a run: lines from several threads, and one line that is drawn again in place."""

import contextlib
import os
import threading
from typing import TextIO

_TO_LINE_START_AND_CLEAR = "\r\x1b[K"


class Terminal:
    """Where a run speaks. A terminal that was closed is spoken to in vain, without an error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._drawn = ""
        self.is_live = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        """Whether a line can be drawn again in place."""

    def say(self, line: str) -> None:
        """Print a line; what is drawn stays below it."""
        with self._lock:
            clear = _TO_LINE_START_AND_CLEAR if self._drawn else ""
            self._write(f"{clear}{line}\n{self._drawn}")

    def draw(self, line: str) -> None:
        """Draw the line that stands below all others, in place; an empty one takes it away."""
        with self._lock:
            if self.is_live and line != self._drawn:
                self._drawn = line
                self._write(_TO_LINE_START_AND_CLEAR + line)

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        with contextlib.suppress(OSError, ValueError):
            # A name in a script that the terminal's encoding lacks becomes question marks.
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()
