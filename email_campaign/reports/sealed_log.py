"""The send log of a campaign as a file that proves itself: JSON lines in a chain, with the proof in the last one."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from email_campaign import __version__
from email_campaign.campaigns import campaigns
from email_campaign.db import SessionFactory
from email_campaign.delivery.compose import derive_message_id
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.orders import derive_keys
from email_campaign.delivery.proof import Proof, Verdict
from email_campaign.delivery.relays import Relay
from email_campaign.errors import Conflict
from email_campaign.reports.chain import Chain
from email_campaign.settings import Settings
from email_campaign.signing import derive_key, keyed_hash

FORMAT = "email-campaign send log, 1"
PAGE = 2_000
"""Positions a transaction: flat memory, and no transaction waits for whoever reads the file."""

_ADDRESS = re.compile(r"""[^\s<>@"'(),:;\[\]]+@([\w.-]+)""")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which campaign, and whether its people stand there with their addresses."""

    campaign_id: int
    addresses: bool = False


def seal_key(settings: Settings) -> bytes:
    """The key that files are sealed with."""
    return derive_key(settings.secret_key.get_secret_value(), "sealed-log")


def key_name(key: bytes) -> str:
    """What tells one key from another and gives nothing of it away."""
    return keyed_hash(key, "name").hex()[:16]


def sealed_log(
    factory: SessionFactory, wanted: Wanted, settings: Settings, now: datetime, prove: Callable[[], Proof]
) -> Iterator[bytes]:
    """The lines of the file: a header, one a delivery, a footer; a transaction a page. `prove` is called for the last.

    Without `addresses` people stand there by their contact id and the keyed hash of their address, and replies are
    kept with the local parts of addresses blotted out. Raises NotFound, and Conflict for what was never launched.
    """
    with factory() as session:
        header = _header(session, wanted, key_name(seal_key(settings)), now)
    return _lines(factory, wanted, settings, header, prove)


def _lines(
    factory: SessionFactory, wanted: Wanted, settings: Settings, header: dict[str, Any], prove: Callable[[], Proof]
) -> Iterator[bytes]:
    chain, states, attempt_count = Chain(), Counter[str](), 0
    yield chain.line(header)
    message_id_key = derive_keys(settings).message_id
    with factory() as session:
        relays = {relay.id: relay.name for relay in session.scalars(select(Relay))}
    first: int | None = 1
    while first is not None:
        with factory() as session:
            rows, first = _read_page(session, wanted.campaign_id, first)
        lines = []
        for row in rows:
            message_id = derive_message_id(message_id_key, wanted.campaign_id, row.position, header["from"])
            record = _record(row, wanted, message_id, relays)
            states[row.state] += 1
            attempt_count += len(record["attempts"])
            lines.append(chain.line(record))
        yield b"".join(lines)
    counts = {state.value: states[state.value] for state in DeliveryState}
    footer = {"line": "footer", "deliveries": states.total(), "attempts": attempt_count, "states": counts}
    yield chain.last_line(footer | _verdict(prove(), counts), seal_key(settings))


def _header(session: Session, wanted: Wanted, key: str, now: datetime) -> dict[str, Any]:
    campaign = campaigns.get(session, wanted.campaign_id)
    mailing = campaign.mailing
    if mailing.launched_at is None:
        raise Conflict(f"The campaign {campaign.id} is {mailing.state} and was never launched: it has no send log.")
    return {
        "line": "header",
        "format": FORMAT,
        "version": __version__,
        "written_at": _time(now),
        "campaign": campaign.id,
        "name": campaign.name,
        "state": mailing.state.value,
        "from": mailing.from_address,
        "launched_at": _time(mailing.launched_at),
        "settled_at": _time(mailing.settled_at),
        "attempts_put_away_at": _time(mailing.attempts_put_away_at),
        "audience": mailing.enrolled_count,
        "addresses": wanted.addresses,
        "key": key,
    }


def _verdict(proof: Proof, counts: dict[str, int]) -> dict[str, Any]:
    """The proof as it stands in the footer. Lines that were overtaken by what happened meanwhile prove nothing."""
    made = proof.to_json()
    note = ""
    if counts != proof.counts:
        note = "The campaign went on while this file was written."
        if proof.verdict is Verdict.HOLDS and proof.subject.settled_at is not None:
            made["verdict"] = Verdict.NOT_CHECKED.value
    return {"verdict": made["verdict"], "note": note, "proved_at": proof.subject.began_at, "checks": made["tallies"]}


def _read_page(session: Session, mailing_id: int, first: int) -> tuple[list[Row[Any]], int | None]:
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    values = {"mailing": mailing_id, "first": first, "last": first + PAGE - 1}
    rows = list(session.execute(_COPIES, values))
    last = rows[-1].position if rows else first - 1
    following = session.scalar(_FOLLOWING, {"mailing": mailing_id, "last": max(last, values["last"])})
    return rows, following


def _record(row: Row[Any], wanted: Wanted, message_id: str, relays: dict[int, str]) -> dict[str, Any]:
    person = {"contact": row.contact_id, "address_hash": row.address_hash.hex()}
    if wanted.addresses:
        person["address"] = row.address
    return {
        "line": "delivery",
        "delivery": f"{wanted.campaign_id}-{row.position}",
        **person,
        "state": row.state,
        "reason": row.reason,
        "changed_at": _time(row.changed_at),
        "attempt_count": row.attempt_count,
        "message_id": message_id,
        "attempts": [_attempt(one, wanted, relays) for one in row.attempts],
    }


def _attempt(one: dict[str, Any], wanted: Wanted, relays: dict[int, str]) -> dict[str, Any]:
    relay_id = one.pop("relay_id")
    if not wanted.addresses:
        one["reply"] = _ADDRESS.sub(r"…@\1", one["reply"])
    return one | {"relay": relays.get(relay_id, "")}


def _time(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None


_COPIES = text("""
SELECT d.position, d.contact_id, d.address_hash, d.state, d.reason, d.changed_at, d.attempt_count,
    CASE WHEN d.contact_id IS NULL THEN m.recipient_address ELSE c.address END AS address,
    coalesce(a.attempts, '[]') AS attempts
FROM mailings m
JOIN deliveries d ON d.mailing_id = m.id
LEFT JOIN contacts c ON c.id = d.contact_id
LEFT JOIN (
    SELECT position, json_agg(json_build_object(
        'number', number, 'started_at', started_at, 'finished_at', finished_at, 'verdict', verdict, 'phase', phase,
        'code', code, 'enhanced_code', enhanced_code, 'reply', reply, 'late', late, 'spared', spared,
        'message_sha256', encode(message_sha256, 'hex'), 'worker', worker_id, 'relay_id', relay_id
    ) ORDER BY number) AS attempts
    FROM attempts WHERE mailing_id = :mailing AND position BETWEEN :first AND :last GROUP BY position
) a ON a.position = d.position
WHERE m.id = :mailing AND d.position BETWEEN :first AND :last
ORDER BY d.position
""")

_FOLLOWING = text("""
SELECT position FROM deliveries WHERE mailing_id = :mailing AND position > :last ORDER BY position LIMIT 1
""")
