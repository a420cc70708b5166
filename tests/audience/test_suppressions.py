"""A suppressed address stays so, for its first reason, until somebody lifts it."""

from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session

from email_campaign.address import address_hash
from email_campaign.audience import suppressions
from email_campaign.audience.suppressions import Cause, SuppressionReason
from email_campaign.errors import Invalid, NotFound

NOW = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)
KEY = b"k" * 32


def test_the_first_reason_stays(session: Session) -> None:
    first = suppressions.suppress(session, KEY, "A@example.test", Cause(SuppressionReason.COMPLAINT, "abuse"), NOW)
    again = suppressions.suppress(session, KEY, "a@EXAMPLE.test", Cause(SuppressionReason.BY_HAND), NOW)
    assert again.id == first.id
    assert (again.reason, again.detail) == (SuppressionReason.COMPLAINT, "abuse")


def test_a_lifted_suppression_is_gone(session: Session) -> None:
    made = suppressions.suppress(session, KEY, "a@example.test", Cause(SuppressionReason.BY_HAND), NOW)
    suppressions.lift_suppression(session, made.id)
    assert suppressions.find_suppression(session, address_hash(KEY, "a@example.test")) is None
    with pytest.raises(NotFound, match="lifted already"):
        suppressions.lift_suppression(session, made.id)


def test_search_goes_by_pieces_and_for_erased_people_by_the_whole_address(session: Session) -> None:
    kept = suppressions.suppress(session, KEY, "ada@example.test", Cause(SuppressionReason.BY_HAND), NOW)
    erased = suppressions.suppress(session, KEY, "bob@example.test", Cause(SuppressionReason.BY_HAND), NOW)
    erased.address = None
    session.flush()
    by_piece = session.scalars(suppressions.suppressions_matching(KEY, "ampl")).all()
    by_address = session.scalars(suppressions.suppressions_matching(KEY, "BOB@example.test")).all()
    assert ([one.id for one in by_piece], [one.id for one in by_address]) == ([kept.id], [erased.id])


def test_a_bad_address_is_refused(session: Session) -> None:
    with pytest.raises(Invalid) as refused:
        suppressions.suppress(session, KEY, "nobody", Cause(SuppressionReason.BY_HAND), NOW)
    assert refused.value.problems[0].field == "address"
