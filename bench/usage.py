"""What processes used, from /proc: processor time of whole trees, and the most memory that one process held."""

import os
from dataclasses import dataclass
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    seconds: float


def cpu_seconds(root: int) -> float:
    """User and system time of a process, of its living descendants, and of the dead ones that were waited for."""
    stats = _all_stats()
    tree, found = {root}, {root}
    while found:
        found = {pid for pid, stat in stats.items() if stat.parent in found}
        tree |= found
    return sum(stats[pid].seconds for pid in tree if pid in stats)


def peak_bytes(pid: int) -> int:
    """The most memory that the process ever held (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _all_stats() -> dict[int, _Stat]:
    stats = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text()
        except OSError:  # it ended just now
            continue
        # The name stands in brackets and may hold blanks and brackets itself.
        parts = text.rpartition(")")[2].split()
        stats[int(folder.name)] = _Stat(int(parts[1]), sum(map(int, parts[11:15])) / TICKS_A_SECOND)
    return stats
