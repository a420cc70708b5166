"""Logging set-up: one line an event on stderr, ids and no addresses."""

import logging
import sys


def configure(level: str) -> None:
    """Send every logger to stderr as `time level logger: message`. Safe to repeat."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
