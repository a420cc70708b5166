"""Which benchmarks there are: each is a name, a sentence, and a function that measures and adds rows to the report."""

from collections.abc import Callable
from dataclasses import dataclass

from bench import campaign, compose, inbox
from bench.options import Options
from bench.report import Report


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that are measured together, since they are compared with each other."""

    about: str
    run: Callable[[Options, Report], None]


GROUPS: dict[str, Group] = {
    "campaign": Group("a campaign end to end, alone", campaign.run),
    "compose": Group("processor time of composing a mail, beside EmailMessage", compose.run),
    "inbox": Group("how fast the inbox of `make run` takes mail", inbox.run),
}
"""In the order in which they are run."""
