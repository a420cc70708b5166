"""System mail: what the service writes to its own users, each as a mailing of one that nobody's list has a part in."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from email_campaign.accounts import resets
from email_campaign.accounts.users import User
from email_campaign.campaigns.mailings import Mailing, MailingKind, MailingState, UnknownPolicy, note
from email_campaign.content.attachments import Attachment
from email_campaign.content.letters import freeze_letter
from email_campaign.settings import Settings

SENDER_NAME = "Email Campaign"
RESET = "password_reset"
CHANGED = "password_changed"


def send_reset(session: Session, user: User, settings: Settings, now: datetime) -> Mailing:
    """The mail with a link for a new password. It is worth nothing once the link is dead, and is then given up.

    An unknown copy is sent again, with the same Message-ID: two links harm nobody, none locks somebody out.
    """
    mailing = send_letter(session, user, RESET, settings, now)
    mailing.unknown_policy = UnknownPolicy.RESEND
    mailing.deadline_at = now + resets.LIFETIME
    resets.open_reset(session, user, mailing_id=mailing.id, settings=settings, now=now)
    return mailing


def send_changed(session: Session, user: User, settings: Settings, now: datetime) -> Mailing:
    """The mail that tells a user of their new password: if it was not them, they should know."""
    return send_letter(session, user, CHANGED, settings, now)


def send_letter(
    session: Session,
    user: User,
    letter: str,
    settings: Settings,
    now: datetime,
    variables: Mapping[str, Any] | None = None,
    attachments: Sequence[Attachment] = (),
) -> Mailing:
    """A letter, launched, for the caller to commit and to nudge. The user is its recipient and becomes no contact."""
    mailing = Mailing(
        kind=MailingKind.SYSTEM,
        state=MailingState.SENDING,
        content_version_id=freeze_letter(session, letter, attachments).id,
        from_name=SENDER_NAME,
        from_address=settings.mail_from,
        recipient_address=user.address,
        recipient_variables={**(variables or {}), "name": user.name},
        unknown_policy=UnknownPolicy.HOLD,
        launched_at=now,
        rate_at=now,
    )
    session.add(mailing)
    session.flush()
    note(session, mailing.id, actor="system", kind="sending")
    return mailing
