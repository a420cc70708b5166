"""The welcome mail of a list: which template it is, and the standing mailing that its copies belong to."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from email_campaign.audience.lists import MailingList, get_live_list, live_lists
from email_campaign.audience.welcomes import dismiss
from email_campaign.campaigns.mailings import (
    Mailing,
    MailingKind,
    MailingState,
    UnknownPolicy,
    get_for_update,
    move,
    note,
    reopen,
)
from email_campaign.content.templates import Template
from email_campaign.content.versions import ContentVersion, freeze
from email_campaign.errors import Conflict, Invalid, NotFound
from email_campaign.settings import Settings

STANDS = timedelta(days=30)
"""Then another mailing takes its place, so that one is settled, and its attempts are put away, like any other."""
_USABLE = frozenset({MailingState.SENDING, MailingState.PAUSED, MailingState.FINISHED})


def choose(session: Session, list_id: int, template_id: int | None) -> MailingList:
    """Make this template the welcome mail of the list, or none. Raises NotFound, Conflict (archived), and Invalid.

    Who is confirmed already gets none. With none, whoever waits for it gets none either.
    """
    chosen = get_live_list(session, list_id)
    if template_id is None:
        dismiss(session, list_id)
    else:
        template = session.get(Template, template_id) if 0 < template_id < 2**63 else None
        if template is None or template.archived_at is not None:
            raise Invalid.field("welcome_template_id", "This template does not exist (any more); choose another one.")
    chosen.welcome_template_id = template_id
    session.flush()
    return chosen


def check_not_welcome(session: Session, template_id: int) -> None:
    """Raises Conflict for a template that is the welcome mail of a list in use: it must not vanish from under it."""
    name = session.scalar(
        live_lists().where(MailingList.welcome_template_id == template_id).with_only_columns(MailingList.name).limit(1)
    )
    if name is not None:
        raise Conflict(f"This template is the welcome mail of the list “{name}”; choose another one there first.")


def lock_list(session: Session, list_id: int) -> MailingList:
    """The list, read afresh under a lock that keeps others from welcoming, and nobody from subscribing."""
    return session.scalars(
        select(MailingList)
        .where(MailingList.id == list_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()


def open_welcome(session: Session, one: MailingList, settings: Settings, now: datetime) -> Mailing | None:
    """The standing mailing of a list that is locked, itself locked and sending (or paused).

    That of before, or a new one where its words, the list's name or the sender are others now, or it stood long enough.
    None where the list has no welcome mail.
    """
    if one.welcome_template_id is None:
        dismiss(session, one.id)
        return None
    template = session.get_one(Template, one.welcome_template_id, populate_existing=True)
    version = freeze(session, template.subject, template.html, template.text)
    mailing = get_for_update(session, one.welcome_mailing_id) if one.welcome_mailing_id else None
    if mailing is None or not _still_stands(mailing, one, version, settings, now):
        mailing = _found(session, one, version, settings, now)
        one.welcome_mailing_id = mailing.id
    elif mailing.state is MailingState.FINISHED:
        reopen(session, mailing, actor="system", detail="Somebody else is welcomed.")
    return mailing


def resume_welcome(session: Session, list_id: int, *, actor: str) -> None:
    """Let the welcome mail of the list go on where it was paused. Raises NotFound, and Conflict where it was not."""
    one = get_live_list(session, list_id)
    if one.welcome_mailing_id is None:
        raise NotFound(f"No welcome mail of the list “{one.name}” was sent yet.")
    mailing = get_for_update(session, one.welcome_mailing_id)
    if mailing.state is not MailingState.PAUSED:
        raise Conflict(f"The welcome mail of the list “{one.name}” is not paused.")
    move(session, mailing, MailingState.SENDING, actor=actor)


def _still_stands(
    mailing: Mailing, one: MailingList, version: ContentVersion, settings: Settings, now: datetime
) -> bool:
    was = (mailing.content_version_id, mailing.list_name, mailing.from_address, mailing.public_url)
    since = mailing.launched_at
    return (
        mailing.state in _USABLE
        and was == (version.id, one.name, settings.mail_from, settings.public_url)
        and since is not None
        and now - since < STANDS
    )


def _found(session: Session, one: MailingList, version: ContentVersion, settings: Settings, now: datetime) -> Mailing:
    """Launched, and enrolled as far as there is anybody: whoever is confirmed from now on is appended."""
    mailing = Mailing(
        kind=MailingKind.TRANSACTIONAL,
        state=MailingState.SENDING,
        content_version_id=version.id,
        from_name=one.name,
        from_address=settings.mail_from,
        public_url=settings.public_url,
        list_name=one.name,
        list_ids=[one.id],
        unknown_policy=UnknownPolicy.HOLD,
        launched_at=now,
        rate_at=now,
        enrolled_at=now,
        enrolled_to_at=now,
    )
    session.add(mailing)
    session.flush()
    note(session, mailing.id, actor="system", kind="sending")
    return get_for_update(session, mailing.id)
