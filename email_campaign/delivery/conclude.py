"""From a verdict to the row's next state: pure, so that every rule of retry and expiry is tested without a server."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from email_campaign.delivery.compose import Message
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.leases import Copy
from email_campaign.delivery.replies import Outcome, Phase, Reply, Verdict
from email_campaign.delivery.results import Result
from email_campaign.delivery.retry import next_attempt_at, spared_retry_at

SPARED_IN_A_ROW = 3
"""So many attempts that are not the recipient's fault are free; then, while the relay takes others, one burns: whom it
alone is refused is not tried at the relay's pace for ever."""


@dataclass(frozen=True, slots=True)
class RetryRules:
    """Delays between attempts in seconds, and when a copy is given up: `limit` seconds after its first attempt."""

    delays: tuple[float, ...]
    limit: float
    deadline_at: datetime | None


class Trial(NamedTuple):
    """One attempt at one copy, as far as it is known before its verdict. `others_pass`: the relay takes mail."""

    copy: Copy
    relay_id: int
    started_at: datetime
    message: Message | None = None
    others_pass: bool = True


def conclude(
    trial: Trial, was: DeliveryState, verdict: Verdict, said: tuple[Phase, Reply], rules: RetryRules, now: datetime
) -> Result:
    """The result to be recorded. A deferral beyond the copy's time becomes rejected: expired."""
    message, (phase, reply) = trial.message, said
    spared = verdict.spared and (trial.copy.spared_count < SPARED_IN_A_ROW or not trial.others_pass)
    state, reason, due = DeliveryState(verdict.outcome.value), verdict.reason, None
    if verdict.outcome is Outcome.DEFERRED:
        due = _retry_at(trial.copy, spared, rules, now)
        if due is None:
            state, reason = DeliveryState.REJECTED, "expired"
    return Result(
        claim=trial.copy.claim,
        was=was,
        state=state,
        reason=None if state is DeliveryState.ACCEPTED else reason,
        next_attempt_at=due,
        spared=spared,
        relay_id=trial.relay_id,
        started_at=trial.started_at,
        finished_at=now,
        phase=phase.value,
        code=reply.code or None,
        enhanced_code=reply.enhanced,
        reply=reply.text,
        message_sha256=message.sha256 if message else None,
        variables=message.variables if message else None,
        suppress_address=trial.copy.address if verdict.suppress else None,
    )


def withdraw(trial: Trial, now: datetime, *, intended: bool) -> Result:
    """sending → pending: it is certain that no byte of the body went out. `intended`: its INTENT was answered with go,
    so that this counts even when it comes late."""
    return Result(
        claim=trial.copy.claim,
        was=DeliveryState.SENDING,
        state=DeliveryState.PENDING,
        started_at=trial.started_at,
        finished_at=now,
        logged=False,
        relay_id=trial.relay_id,
        phase=Phase.DATA.value if intended else "",
    )


def _retry_at(copy: Copy, spared: bool, rules: RetryRules, now: datetime) -> datetime | None:
    first = copy.first_attempt_at or now
    seed = b"%d-%d" % copy.claim.key
    if spared:
        return spared_retry_at(
            now=now,
            spared_in_a_row=copy.spared_count + 1,
            first_attempt_at=first,
            deadline_at=rules.deadline_at,
            delays=rules.delays,
            limit_seconds=rules.limit,
            seed=seed,
        )
    return next_attempt_at(
        now=now,
        burnt_count=copy.burnt_count + 1,
        first_attempt_at=first,
        deadline_at=rules.deadline_at,
        delays=rules.delays,
        limit_seconds=rules.limit,
        seed=seed,
    )
