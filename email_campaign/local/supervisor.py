"""Keeps programs running: starts them, starts again what dies, and ends all of them in order."""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from email_campaign.local import logs, undertaker
from email_campaign.local.programs import Lifeline, Process, Program, StartFailed, describe_exit, wait_until_ready

RESTART_SECONDS = (0.5, 30.0)
"""First and longest wait before a dead program is started again; it doubles from death to death."""

STEADY_SECONDS = 60.0
"""Who ran as long as this starts again with the first wait."""

LOOK_SECONDS = 0.1
BOUND_SECONDS = 30.0


@dataclass(slots=True)
class _Part:
    program: Program
    log_file: Path
    process: Process | None = None
    started_at: float = 0.0
    deaths: int = 0
    due_at: float = 0.0


class Supervisor:
    """The programs of one run. Asked to stop by a signal, it raises KeyboardInterrupt out of whatever it does."""

    def __init__(self, lifeline: Lifeline, log_dir: Path, say: Callable[[str], None]) -> None:
        self._lifeline = lifeline
        self._log_dir = log_dir
        self._say = say
        self._parts: list[_Part] = []
        self._is_spawning = False
        self._signals = 0

    @property
    def pids(self) -> dict[str, int]:
        """Process id of each living program, by name. Any thread may ask."""
        return {part.program.name: process.pid for part in self._parts if (process := part.process)}

    def listen_to_signals(self) -> None:
        """Let Ctrl-C, SIGTERM and a closed terminal stop the run. A SIGHUP that nohup ignores stays ignored."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def start(self, programs: Sequence[Program]) -> None:
        """Start programs side by side and wait until each serves. Raises StartFailed."""
        started = [_Part(program, self._log_dir / f"{program.name}.log") for program in programs]
        self._parts += started
        for part in started:
            logs.start_fresh(part.log_file)
            self._spawn(part)
        for part in started:
            if part.process:
                wait_until_ready(part.program, part.process, part.log_file)

    def watch(self, on_change: Callable[[], None]) -> None:
        """Start again what dies, until a signal comes. `on_change` is called when process ids have changed."""
        bound_at = 0.0
        while True:
            changed = [self._look_after(part) for part in self._parts]
            if any(changed):
                on_change()
            if time.monotonic() >= bound_at:
                bound_at = time.monotonic() + BOUND_SECONDS
                for part in self._parts:
                    logs.bound(part.log_file)
            time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """End everything, low orders first, each within its grace. A second signal kills what is left at once."""
        self._signals = max(self._signals, 1)
        for order, grace_seconds in enumerate(undertaker.GRACE_SECONDS):
            living = [(part, part.process) for part in self._parts if part.process and part.program.stop_order == order]
            for part, process in living:
                undertaker.send(process.pid, part.program.stop_signal)
            deadline = time.monotonic() + grace_seconds
            while any(process.poll() is None for _, process in living):
                if time.monotonic() > deadline or self._signals > 1:
                    break
                time.sleep(LOOK_SECONDS / 5)
            for part, process in living:
                if process.poll() is None:
                    self._say(f"{part.program.name} did not end in time and was killed.")
                self._lifeline.release(process)
                process.wait()
                part.process = None

    def _look_after(self, part: _Part) -> bool:
        """Whether the part's process id has changed."""
        if part.process:
            if (code := part.process.poll()) is None:
                return False
            self._lifeline.release(part.process)
            part.process = None
            self._put_off(part, describe_exit(code))
            return True
        if time.monotonic() < part.due_at:
            return False
        try:
            self._spawn(part)
        except StartFailed as failure:
            self._put_off(part, str(failure))
        return part.process is not None

    def _put_off(self, part: _Part, reason: str) -> None:
        is_steady = time.monotonic() - part.started_at > STEADY_SECONDS
        part.deaths = 1 if is_steady else part.deaths + 1
        first, longest = RESTART_SECONDS
        wait = min(longest, first * 2 ** (part.deaths - 1))
        part.due_at = time.monotonic() + wait
        self._say(f"{part.program.name} ended with {reason}; it starts again in {wait:g} s. Its log: {part.log_file}")

    def _spawn(self, part: _Part) -> None:
        # A signal between the fork and the assignment would lose the process, so it waits for that long.
        self._is_spawning = True
        try:
            part.started_at = time.monotonic()
            part.process = self._lifeline.start(part.program, part.log_file)
        except OSError as error:
            msg = f"{part.program.name} cannot be started: {error.strerror}."
            raise StartFailed(msg) from error
        finally:
            self._is_spawning = False
        if self._signals:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 – the shape of a signal handler
        self._signals += 1
        if self._signals == 1 and not self._is_spawning:
            raise KeyboardInterrupt
