"""Which benchmarks there are: each is a name, a sentence, and a function that measures and adds rows to the report."""

from collections.abc import Callable
from dataclasses import dataclass

from bench import attached, campaign, compose, inbox, relays, scale_enrol, scale_fair, scale_ledger, speed
from bench.options import Options
from bench.report import Report


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that are measured together, since they are compared with each other."""

    about: str
    run: Callable[[Options, Report], None]


GROUPS: dict[str, Group] = {
    "speed": Group("a campaign beside smtp-source, aiosmtplib, a task a mail and django-post-office", speed.run),
    "stepwise": Group("a campaign at a relay without PIPELINING", relays.run_stepwise),
    "slow": Group("a campaign at a relay that takes 50 ms a mail", relays.run_slow),
    "launch": Group("an audience of a million, with a small campaign and system mail beside it", scale_fair.run),
    "enrolment": Group("enrolling a million beside a bare INSERT … SELECT", scale_enrol.run),
    "ledger": Group("work and pages with ten million copies, also under an old snapshot", scale_ledger.run),
    "compose": Group("processor time of composing a mail, beside EmailMessage", compose.run),
    "attachments": Group("attachments: memory of a send worker at the most, and what 100 kB cost", attached.run),
    "inbox": Group("how fast the inbox of `make run` takes mail", inbox.run),
    "campaign": Group(
        "a campaign end to end, alone: quick, and with --profile it tells where the time goes", campaign.run
    ),
}
"""In the order in which they are run."""

ALONE = frozenset({"campaign"})
"""Only run when they are named: a part of another."""
