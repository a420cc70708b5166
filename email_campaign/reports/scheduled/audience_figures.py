"""How the audience changed in a period: lists that grew, who left, addresses that are mailed no more, imports.

Events and suppressions are found by their time (BRIN): what is read is what happened in the period, and no more.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from email_campaign.audience.imports import Import, counts_of
from email_campaign.audience.lists import MailingList, member_counts
from email_campaign.audience.subscriptions import Change, SubscriptionEvent
from email_campaign.audience.suppressions import Suppression
from email_campaign.reports.scheduled.figures import Audience, ImportLine, Imports, ListLine
from email_campaign.reports.scheduled.periods import Period
from email_campaign.tasks.tasks import Task

LISTS_NAMED = 10
IMPORTS_NAMED = 10


def audience(session: Session, period: Period, *, sums_alone: bool = False) -> Audience:
    """Lists with the most changes first; the rest is one line, so that the sums are those of all."""
    of_list: dict[int, Counter[Change]] = defaultdict(Counter)
    left_by: Counter[str] = Counter()
    for list_id, state, source, count in session.execute(_events(period)):
        of_list[list_id][state] += count
        if state is Change.UNSUBSCRIBED:
            left_by[source] += count
    suppressed_for = _suppressed(session, period)
    total: Counter[Change] = sum(of_list.values(), Counter())
    return Audience(
        lists=[] if sums_alone else _lists(session, of_list),
        asked=total[Change.PENDING],
        confirmed=total[Change.CONFIRMED],
        left=total[Change.UNSUBSCRIBED],
        left_by=dict(left_by.most_common()),
        suppressed=sum(suppressed_for.values()),
        suppressed_for=suppressed_for,
    )


def imports(session: Session, period: Period) -> Imports:
    """Imports that ended in the period, in whatever way."""
    ended = (
        select(Import, Task.state)
        .join(Task, Task.id == Import.task_id)
        .where(Task.finished_at >= period.begins_at, Task.finished_at < period.ends_at)
    )
    lines = []
    for one, state in session.execute(ended):
        counts = {
            name: count
            for name, count in counts_of(one).items()
            if name in {"rows", "created", "changed", "unchanged", "repeated", "refused"}
        }
        lines.append(ImportLine(id=one.id, file_name=one.file_name, state=state.value, **counts))
    lines.sort(key=lambda line: (-line.refused, -line.rows, line.id))
    return Imports(
        import_count=len(lines),
        lines=lines[:IMPORTS_NAMED],
        rows=sum(line.rows for line in lines),
        refused=sum(line.refused for line in lines),
    )


def _events(period: Period) -> Select[int, Change, str, int]:
    return (
        select(SubscriptionEvent.list_id, SubscriptionEvent.state, SubscriptionEvent.source, func.count())
        .where(SubscriptionEvent.at >= period.begins_at, SubscriptionEvent.at < period.ends_at)
        .group_by(SubscriptionEvent.list_id, SubscriptionEvent.state, SubscriptionEvent.source)
    )


def _suppressed(session: Session, period: Period) -> Mapping[str, int]:
    """Addresses that were suppressed in the period and still are, by reason, the most frequent first."""
    count = func.count()
    rows = session.execute(
        select(Suppression.reason, count)
        .where(Suppression.created_at >= period.begins_at, Suppression.created_at < period.ends_at)
        .group_by(Suppression.reason)
        .order_by(count.desc(), Suppression.reason)
    )
    return {reason.value: number for reason, number in rows}


def _lists(session: Session, of_list: Mapping[int, Counter[Change]]) -> list[ListLine]:
    ranked = sorted(of_list, key=lambda list_id: (-of_list[list_id].total(), list_id))
    named, others = ranked[:LISTS_NAMED], ranked[LISTS_NAMED:]
    rows = session.execute(select(MailingList.id, MailingList.name).where(MailingList.id.in_(named)))
    names = {row.id: row.name for row in rows}
    members = member_counts(session, named)
    lines = [
        _line(list_id, names.get(list_id, f"List {list_id}"), of_list[list_id], members[list_id].confirmed)
        for list_id in named
    ]
    if others:
        rest = sum((of_list[list_id] for list_id in others), Counter[Change]())
        lines.append(_line(None, f"{len(others):,} other lists", rest, None))
    return lines


def _line(list_id: int | None, name: str, changes: Counter[Change], members: int | None) -> ListLine:
    return ListLine(
        id=list_id,
        name=name,
        asked=changes[Change.PENDING],
        confirmed=changes[Change.CONFIRMED],
        left=changes[Change.UNSUBSCRIBED],
        members=members,
    )
