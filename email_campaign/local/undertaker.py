"""The far end of the lifeline: when its owner is gone, however that came, it ends what the owner started.

Run by path (`python -I undertaker.py`), with the standard library only, so that it starts in milliseconds and needs
nothing that could be missing. It reads lines from standard input:

    guard GROUP SIGNAL ORDER    end this process group with that signal when the line is cut; low orders first
    release GROUP               it ended by itself
"""

import contextlib
import os
import signal
import sys
import time

GRACE_SECONDS = (4.5, 2.0, 2.8)
"""How long the programs of each order may take to end by themselves: all of it within ten seconds."""

KILL_SECONDS = 0.1
"""A kill takes a moment; whoever waits for us must not find the victim still there."""

LOOK_SECONDS = 0.02


def main() -> None:
    """Follow the lifeline until it is cut, then end every group that is still guarded."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    guarded: dict[int, tuple[int, int]] = {}
    for line in sys.stdin:
        word, group, *how = line.split()
        if word == "guard":
            guarded[int(group)] = (int(how[0]), int(how[1]))
        else:
            guarded.pop(int(group), None)
    for order, grace_seconds in enumerate(GRACE_SECONDS):
        _end_groups({group: first for group, (first, its) in guarded.items() if its == order}, grace_seconds)


def send(group: int, number: int) -> bool:
    """Signal a process group; false when nothing of it is left. Signal 0 only asks."""
    with contextlib.suppress(PermissionError):  # macOS' answer for a group of zombies
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            return False
    return True


def _end_groups(groups: dict[int, int], grace_seconds: float) -> None:
    """Send each group its signal; whatever is left after the grace is killed."""
    left = {group for group, first in groups.items() if send(group, first)}
    left = _wait_for(left, grace_seconds)
    for group in left:
        send(group, signal.SIGKILL)
    _wait_for(left, KILL_SECONDS)


def _wait_for(groups: set[int], seconds: float) -> set[int]:
    """The groups that are still there when all are gone or the time is up."""
    deadline = time.monotonic() + seconds
    while groups and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        groups = {group for group in groups if send(group, 0)}
    return groups


if __name__ == "__main__":
    main()
