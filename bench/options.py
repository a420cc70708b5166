"""What the command line of the benchmarks says."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """None leaves the choice to the benchmark."""

    count: int | None = None
    """Recipients of a campaign, or mails of a side."""
    rounds: int | None = None
    """How often each side is run, in turn with the others; medians are told."""
    profile: Path | None = None
    """Where the samplers of send workers write what they saw."""

    def counted(self, usual: int) -> int:
        """How many, where the benchmark usually takes `usual`."""
        return self.count or usual

    def repeated(self, usual: int = 3) -> int:
        """How many rounds, where the benchmark usually takes `usual`."""
        return self.rounds or usual
