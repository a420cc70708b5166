"""A statistical profiler that comes to life inside send workers when `BENCH_SAMPLES` names a folder.

Python imports this file at start-up where the folder stands in PYTHONPATH. While the file `on` exists there, every
sample charges the processor time that each thread used since the last one to what the thread is doing now. It needs the
GIL, so that time spent without it (in the kernel, in libpq) is charged to the call that gave it up, where it belongs.
"""

import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

SAMPLE_SECONDS = 0.001
SWITCH_SECONDS = 0.0002
"""Threads give up the GIL so often; with the usual 5 ms every sample would see somebody who waits anyway."""
DEPTH = 40


def main(folder: Path) -> None:
    """Wait for `on`, sample until it is gone, write one file."""
    while not (folder / "on").exists():
        time.sleep(0.1)
    sys.setswitchinterval(SWITCH_SECONDS)
    lines: Counter[tuple[str, str]] = Counter()
    functions: Counter[str] = Counter()
    clocks: dict[int, int] = {}
    used: dict[int, int] = {}
    me = threading.get_ident()
    samples = 0
    while samples % 500 or (folder / "on").exists():
        time.sleep(SAMPLE_SECONDS)
        samples += 1
        names = {thread.ident: thread.name.rstrip("0123456789_") for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():  # noqa: SLF001 – documented
            if ident not in clocks:
                clocks[ident] = time.pthread_getcpuclockid(ident)
                used[ident] = time.clock_gettime_ns(clocks[ident])
            now = time.clock_gettime_ns(clocks[ident])
            spent, used[ident] = now - used[ident], now
            if spent and ident != me:
                name = names.get(ident, "another thread")
                lines[name, f"{_name(frame)}:{frame.f_lineno}"] += spent
                for function in _functions(frame):
                    functions[function] += spent
    found = {"lines": [[*key, ns] for key, ns in lines.items()], "functions": list(functions.items())}
    (folder / f"{os.getpid()}.half").write_text(json.dumps(found))
    (folder / f"{os.getpid()}.half").rename(folder / f"{os.getpid()}.json")


def _functions(frame: FrameType | None) -> set[str]:
    seen = set()
    for _ in range(DEPTH):
        if frame is None:
            break
        seen.add(_name(frame))
        frame = frame.f_back
    return seen


def _name(frame: FrameType) -> str:
    path = "/".join(frame.f_code.co_filename.split("/")[-2:])
    return f"{path} {frame.f_code.co_qualname}"


def _is_send_worker() -> bool:
    return any(part.startswith("send") and part.endswith("@localhost") for part in sys.orig_argv)


if (_folder := os.environ.get("BENCH_SAMPLES")) and _is_send_worker():
    threading.Thread(target=main, args=(Path(_folder),), daemon=True, name="sampler").start()
