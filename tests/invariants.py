"""The invariants of the ledger, checked from outside in one place: rows against rows, and rows against the wire."""

from collections.abc import Mapping, Sequence
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


def check_settled(session: Session, mailing_id: int, settings: Settings, wire: WireLog) -> None:
    """I1–I5 of a mailing of which nothing is left to do."""
    rows = rows_of(session, mailing_id)
    assert {row.state for row in rows} <= TERMINAL  # I1
    bodies = _bodies(session, mailing_id, settings, wire)
    for row in rows:
        assert len(bodies[row.position]) <= 1, f"{row.position} went out {len(bodies[row.position])} times"  # I2
        if row.state == "accepted":
            assert bodies[row.position], f"{row.position} is accepted and was never on the wire"  # I3
        if row.state in {"skipped", "cancelled"}:
            assert not bodies[row.position], f"{row.position} is {row.state} and went out"
    check_counts(session, mailing_id)
    leased = session.scalar(
        text("SELECT count(*) FROM slices WHERE mailing_id = :m AND closed_at IS NULL"), {"m": mailing_id}
    )
    assert leased == 0  # I5


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
