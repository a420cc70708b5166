"""What a campaign carries: checked, copied, frozen, and thrown away when nobody carries it."""

import io
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from email_campaign.campaigns import attaching, campaigns
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import MailingState
from email_campaign.clock import utc_now
from email_campaign.content.attachments import Attachment, File, keep
from email_campaign.content.versions import freeze
from email_campaign.errors import Conflict, Invalid, NotFound
from email_campaign.settings import Settings
from tests.factories import make_campaign, make_template


def bring(session: Session, settings: Settings, name: str, data: bytes = b"x") -> Attachment:
    return attaching.bring(session, name, io.BytesIO(data), len(data), settings)


def attach(session: Session, settings: Settings, campaign: Campaign, name: str, data: bytes = b"x") -> Attachment:
    one = bring(session, settings, name, data)
    attaching.attach(session, campaign.id, one, settings, utc_now())
    return one


def test_files_are_attached_once_and_taken_off(session: Session, settings: Settings) -> None:
    campaign = make_campaign(session)
    first, second = (attach(session, settings, campaign, name) for name in ("C:\\a.pdf", "b.pdf"))
    attach(session, settings, campaign, "a.pdf")
    assert (first.name, first.media_type, campaign.attachment_ids) == (
        "a.pdf",
        "application/pdf",
        [first.id, second.id],
    )
    attaching.detach(session, campaign.id, first.id, utc_now())
    assert campaign.attachment_ids == [second.id]
    with pytest.raises(NotFound):
        attaching.detach(session, campaign.id, first.id, utc_now())


def test_a_program_an_empty_file_and_one_that_is_too_large_are_not_even_kept(
    session: Session, settings: Settings
) -> None:
    small = settings.model_copy(update={"attachments_max_bytes": 10})
    for name, data, told in (("a.exe", b"x", r"\.exe"), ("a.pdf", b"", "empty"), ("a.pdf", b"x" * 11, "at most")):
        with pytest.raises(Invalid, match=told):
            bring(session, small, name, data)
    assert session.scalars(select(Attachment)).all() == []


def test_files_that_are_too_large_together_are_not_attached(session: Session, settings: Settings) -> None:
    small = settings.model_copy(update={"attachments_max_bytes": 10})
    campaign = make_campaign(session)
    attach(session, small, campaign, "a.pdf", b"x" * 6)
    with pytest.raises(Invalid, match="The files have") as refused:
        attach(session, small, campaign, "b.pdf", b"x" * 5)
    assert [one.field for one in refused.value.problems] == ["file"]
    assert len(campaign.attachment_ids) == 1


def test_a_launched_campaign_keeps_what_it_carries(session: Session, settings: Settings) -> None:
    campaign = make_campaign(session, template=make_template(session))
    one = attach(session, settings, campaign, "a.pdf")
    campaign.mailing.state = MailingState.SENDING
    session.flush()
    with pytest.raises(Conflict):
        attach(session, settings, campaign, "b.pdf")
    with pytest.raises(Conflict):
        attaching.detach(session, campaign.id, one.id, utc_now())


def test_a_copy_carries_the_same_files(session: Session, settings: Settings) -> None:
    campaign = make_campaign(session)
    one = attach(session, settings, campaign, "a.pdf")
    assert campaigns.copy(session, campaign.id, created_by=None, actor="Ada").attachment_ids == [one.id]


def test_only_files_that_nothing_carries_are_thrown_away_and_only_after_a_day(
    session: Session, settings: Settings
) -> None:
    campaign = make_campaign(session)
    carried = attach(session, settings, campaign, "carried.pdf")
    frozen = keep(session, File("frozen.pdf", "application/pdf", b"x"))
    freeze(session, "Hi", "", "Hello", [frozen])
    for name in ("forgotten.pdf", "again.pdf"):
        bring(session, settings, name)
    session.execute(update(Attachment).values(kept_at=utc_now() - timedelta(days=2)))
    bring(session, settings, "again.pdf")
    bring(session, settings, "new.pdf")
    attaching.purge(session, utc_now())
    left = session.scalars(select(Attachment.name).order_by(Attachment.id)).all()
    assert left == ["carried.pdf", "frozen.pdf", "again.pdf", "new.pdf"]
    attaching.detach(session, campaign.id, carried.id, utc_now())
    attaching.purge(session, utc_now())
    assert "carried.pdf" not in session.scalars(select(Attachment.name)).all()
