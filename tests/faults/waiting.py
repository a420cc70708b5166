"""Waiting for something to become true, with an end."""

import time
from collections.abc import Callable


def wait_until(is_so: Callable[[], object], seconds: float = 30.0) -> None:
    """Return once it is so; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"still not so after {seconds:g} s"
        time.sleep(0.01)
