"""The invariants of the ledger, checked from outside in one place: rows against rows, and rows against the wire."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import Mailing
from email_campaign.delivery.compose import derive_message_id
from email_campaign.delivery.deliveries import DeliveryState, states_of
from email_campaign.delivery.orders import derive_keys
from email_campaign.settings import Settings
from tests.tools.wire_log import Event, WireLog

TERMINAL = {"accepted", "rejected", "unknown", "skipped", "cancelled"}


@dataclass(frozen=True, slots=True)
class Toll:
    """What became of the recipients of a mailing, counted from rows and wire.

    lost: in the audience without a row (I1), left in a state that is none to end in (I1), or accepted and never on the
    wire (I3). doubled: on the wire more often than lawful (I2).
    """

    recipients: int
    lost: int
    doubled: int
    unknown: int


TOLLS: dict[tuple[Path, int], Toll] = {}
"""The last toll of every mailing that was checked, by wire log and id: what the table of `make faults` is made from."""


def rows_of(session: Session, mailing_id: int) -> Sequence[Any]:
    """All deliveries of a mailing, by position."""
    return session.execute(
        text("SELECT * FROM deliveries WHERE mailing_id = :m ORDER BY position"), {"m": mailing_id}
    ).all()


def check_counts(session: Session, mailing_id: int) -> None:
    """I4: the eight states add up to the audience, in the counters and in a recount."""
    mailing = session.get_one(Mailing, mailing_id, populate_existing=True)
    counted = states_of(session, mailing_id)
    recounted = dict.fromkeys(DeliveryState, 0)
    for row in rows_of(session, mailing_id):
        recounted[DeliveryState(row.state)] += 1
    assert counted == recounted
    assert sum(counted.values()) == mailing.enrolled_count


def check_carried(session: Session, mailing_id: int) -> None:
    """I6: every pending or sending row is in exactly one open slice, or a pending one beyond its stretch's frontier."""
    slices = session.execute(
        text("SELECT * FROM slices WHERE mailing_id = :m AND closed_at IS NULL"), {"m": mailing_id}
    ).all()
    stretches = session.execute(text("SELECT * FROM stretches WHERE mailing_id = :m"), {"m": mailing_id}).all()
    for row in rows_of(session, mailing_id):
        if row.state not in {"pending", "sending"}:
            continue
        carriers = sum(
            row.position in s.positions and row.slice_id == s.id
            if s.positions is not None
            else s.first_position <= row.position <= s.last_position and row.slice_id is None
            for s in slices
        )
        beyond = sum(s.frontier <= row.position <= s.last_position and row.slice_id is None for s in stretches)
        assert carriers + beyond == 1, (row.position, row.state, carriers, beyond)


def check_settled(
    session: Session,
    mailing_id: int,
    settings: Settings,
    wire: WireLog,
    *,
    asked_again: Mapping[int, int] | None = None,
) -> None:
    """I1–I5 of a mailing of which nothing is left to do. `asked_again`: how often somebody wanted an unknown
    position sent once more."""
    rows = rows_of(session, mailing_id)
    bodies = _bodies(session, mailing_id, settings, wire)
    toll, troubles = _count(session, mailing_id, rows, bodies, asked_again or {})
    TOLLS[wire.path, mailing_id] = toll
    assert not troubles, troubles  # I1, I2, I3
    check_counts(session, mailing_id)
    leased = session.scalar(
        text("SELECT count(*) FROM slices WHERE mailing_id = :m AND closed_at IS NULL"), {"m": mailing_id}
    )
    assert leased == 0  # I5


def _count(
    session: Session,
    mailing_id: int,
    rows: Sequence[Any],
    bodies: Mapping[int, Sequence[Event]],
    asked_again: Mapping[int, int],
) -> tuple[Toll, list[str]]:
    """The toll, and a line for everybody who is lost or doubled, or went out against the ledger's word."""
    without_row = list(session.scalars(_WITHOUT_ROW, {"mailing": mailing_id}))
    lawful = {
        row.position: row.lawful + asked_again.get(row.position, 0)
        for row in session.execute(_LAWFUL, {"mailing": mailing_id})
    }
    lost = [f"contact {contact_id} was in the audience and has no row" for contact_id in without_row]
    doubled, untrue = [], []
    for row in rows:
        count = len(bodies[row.position])
        if row.state not in TERMINAL:
            lost.append(f"{row.position} is still {row.state}")
        elif row.state == "accepted" and not count:
            lost.append(f"{row.position} is accepted and was never on the wire")
        elif row.state in {"skipped", "cancelled"} and count and lawful[row.position] == 1:
            untrue.append(f"{row.position} is {row.state} and went out")
        if count > lawful[row.position]:
            doubled.append(f"{row.position} went out {count} times, {lawful[row.position]} would be lawful")
    unknown = sum(row.state == "unknown" for row in rows)
    return Toll(len(rows) + len(without_row), len(lost), len(doubled), unknown), lost + doubled + untrue


def _bodies(session: Session, mailing_id: int, settings: Settings, wire: WireLog) -> Mapping[int, Sequence[Event]]:
    """The bodies of every position that the relay has, or may have: all but those whose dot was refused."""
    mailing = session.get_one(Mailing, mailing_id)
    by_message_id: dict[str, list[Event]] = {}
    for event in _taken(wire):
        by_message_id.setdefault(event.message_id, []).append(event)
    key = derive_keys(settings).message_id
    return {
        row.position: by_message_id.get(derive_message_id(key, mailing_id, row.position, mailing.from_address), [])
        for row in rows_of(session, mailing_id)
    }


def _taken(wire: WireLog) -> Sequence[Event]:
    open_bodies: dict[int, Event] = {}
    taken = []
    for event in wire.events():
        if event.kind == "body-complete":
            open_bodies[event.connection] = event
            taken.append(event)
        elif event.kind == "reply" and event.step == "dot" and event.code >= 400:
            taken.remove(open_bodies.pop(event.connection))
    return taken


# Enrolment against audience: who was confirmed at the launch.
_WITHOUT_ROW = text("""
SELECT DISTINCT s.contact_id FROM mailings m JOIN subscriptions s ON s.list_id = ANY (m.list_ids)
WHERE m.id = :mailing AND m.kind = 'campaign' AND m.launched_at IS NOT NULL AND s.confirmed_at <= m.launched_at
    AND (s.state = 'confirmed' OR s.state = 'unsubscribed' AND s.unsubscribed_at > m.launched_at)
    AND NOT EXISTS (SELECT FROM deliveries d WHERE d.mailing_id = m.id AND d.contact_id = s.contact_id)
ORDER BY s.contact_id
""")

# Under "hold" once; under "resend" once more, after an attempt whose end nobody could tell.
_LAWFUL = text("""
SELECT d.position, 1 + least(1, count(a.number)) AS lawful
FROM deliveries d JOIN mailings m ON m.id = d.mailing_id
LEFT JOIN attempts a ON a.mailing_id = d.mailing_id AND a.position = d.position AND a.verdict = 'unknown'
    AND m.unknown_policy = 'resend'
WHERE d.mailing_id = :mailing GROUP BY d.position
""")
