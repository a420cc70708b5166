"""What a send process counts of itself: plain numbers that go with its beat into its row, and so to /metrics."""

from bisect import bisect_left
from dataclasses import asdict, dataclass, field
from typing import Any

COMMIT_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds, in seconds, of the groups into which commits are counted; what took longer is in one more."""


@dataclass(slots=True)
class CommitTimes:
    """How long the oldest order of each commit waited until it was committed. Written by the recorder's thread."""

    seconds: float = 0.0
    groups: list[int] = field(default_factory=lambda: [0] * (len(COMMIT_BOUNDS) + 1))
    retry_count: int = 0

    def add(self, seconds: float) -> None:
        """One commit."""
        self.seconds += seconds
        self.groups[bisect_left(COMMIT_BOUNDS, seconds)] += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Everything since the process started, but what is called `now`. `slice_at`: seconds since 1970, 0 before any.

    `refused_count` counts answers of the limiter without a single grant.
    """

    answered_count: int = 0
    slice_count: int = 0
    slice_at: float = 0.0
    granted_count: int = 0
    refused_count: int = 0
    commit_seconds: float = 0.0
    commit_groups: list[int] = field(default_factory=lambda: [0] * (len(COMMIT_BOUNDS) + 1))
    commit_retry_count: int = 0
    opened_count: int = 0
    dropped_count: int = 0
    idle_now: int = 0
    most_connections: int = 0

    @classmethod
    def read(cls, row: dict[str, Any]) -> "Measures":
        """As a worker of this or of another release wrote them."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__ if name in row})

    def to_row(self) -> dict[str, Any]:
        """As they stand in the worker's row."""
        return asdict(self)
