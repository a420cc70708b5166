"""Pages: one copy: what happened to it, what was said, the mail itself, and why its reader is in the audience."""

from collections.abc import Sequence

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from email_campaign import queue
from email_campaign.audience.lists import MailingList
from email_campaign.audience.subscriptions import Subscription
from email_campaign.audience.suppressions import Suppression
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import OF_ONE, Mailing, MailingKind
from email_campaign.content.attachments import Attachment
from email_campaign.content.frame import Theme
from email_campaign.content.versions import ContentVersion
from email_campaign.delivery.attempts import Attempt
from email_campaign.delivery.compose import derive_message_id
from email_campaign.delivery.orders import derive_keys
from email_campaign.delivery.retry_by_hand import Retryable, retry
from email_campaign.delivery.unknown import Decision, Resolution, resolve
from email_campaign.errors import Conflict, Invalid, NotFound
from email_campaign.reports import queries
from email_campaign.reports.mails import Rebuilt, rebuild
from email_campaign.reports.queries import Copy
from email_campaign.settings import Settings
from email_campaign.web.admin import delivery_words
from email_campaign.web.admin.unknown import done_words
from email_campaign.web.deps import NowDep, PageUser, PathId, SessionDep, SettingsDep
from email_campaign.web.downloads import attached_file
from email_campaign.web.forms import FormDep
from email_campaign.web.pages import mail_frame_response, redirect, render

HERE = "/admin/deliveries"

router = APIRouter(prefix="/deliveries/{delivery_id}")


@router.get("")
def show_delivery(request: Request, session: SessionDep, settings: SettingsDep, delivery_id: str) -> Response:
    """What happened to this copy?"""
    mailing_id, position = queries.parse_delivery_id(delivery_id)
    copy = queries.get_delivery(session, mailing_id, position)
    mailing = session.get_one(Mailing, mailing_id)
    attempts = queries.attempts_of(session, mailing_id, position)
    keys = derive_keys(settings)
    return render(
        request,
        "admin/deliveries/show.html",
        copy=copy,
        mailing=mailing,
        campaign=session.get(Campaign, mailing.campaign_id or mailing.id),
        attempts=attempts,
        sentence=delivery_words.sentence(copy, attempts),
        last_reply=delivery_words.reply(attempts[-1][0]) if attempts else "",
        lines=delivery_words.conversation(copy, mailing.from_address, attempts),
        message_id=derive_message_id(keys.message_id, mailing_id, position, mailing.from_address),
        rebuilt=_last_mail(session, copy, [attempt for attempt, _ in attempts], settings),
        subscriptions=_audience(session, copy, mailing),
        suppression=_suppression(session, copy),
        retry=_retryable(copy, mailing),
        is_campaign=mailing.kind is MailingKind.CAMPAIGN,
    )


@router.get("/mail")
def mail_frame(session: SessionDep, settings: SettingsDep, delivery_id: str, theme: Theme = "light") -> Response:
    """The HTML of the mail for the frame, composed again."""
    mailing_id, position = queries.parse_delivery_id(delivery_id)
    copy = queries.get_delivery(session, mailing_id, position)
    attempts = [attempt for attempt, _ in queries.attempts_of(session, mailing_id, position)]
    rebuilt = _last_mail(session, copy, attempts, settings)
    return mail_frame_response((rebuilt.mail.html or "") if rebuilt and rebuilt.mail else "", theme)


@router.get("/attachments/{attachment_id}")
def download_attachment(session: SessionDep, delivery_id: str, attachment_id: PathId) -> Response:
    """A file that the copy carries."""
    mailing_id, position = queries.parse_delivery_id(delivery_id)
    queries.get_delivery(session, mailing_id, position)
    version = session.get(ContentVersion, session.get_one(Mailing, mailing_id).content_version_id)
    if version is None or attachment_id not in version.attachment_ids:
        raise NotFound(f"Delivery {delivery_id} has no attachment {attachment_id}.")
    return attached_file(session.get_one(Attachment, attachment_id))


@router.post("/retry")
def retry_copy(request: Request, session: SessionDep, user: PageUser, now: NowDep, delivery_id: str) -> Response:
    """Try a mailing of one again; the copies of a campaign are tried again together, on its page."""
    mailing_id, position = queries.parse_delivery_id(delivery_id)
    copy = queries.get_delivery(session, mailing_id, position)
    which = _retryable(copy, session.get_one(Mailing, mailing_id))
    if which is None:
        raise Conflict(f"This copy is {copy.delivery.state}; there is nothing to try again.")
    retry(session, mailing_id, which, actor=user.name, now=now)
    session.commit()
    queue.nudge(queue.DISPATCH)
    return redirect(request, f"{HERE}/{delivery_id}", "It is tried again now.")


@router.post("/resolve")
def resolve_copy(
    request: Request, session: SessionDep, user: PageUser, now: NowDep, form: FormDep, delivery_id: str
) -> Response:
    """Say what became of an unknown copy, or send it again."""
    mailing_id, position = queries.parse_delivery_id(delivery_id)
    queries.get_delivery(session, mailing_id, position)
    resolution = next((one for one in Resolution if one == form["resolution"]), None)
    if resolution is None:
        raise Invalid.field("resolution", "Choose what became of the copy: accepted, rejected or resend.")
    here = f"{HERE}/{delivery_id}"
    try:
        done = resolve(session, mailing_id, [position], Decision(resolution, user.name, now), now)
    except Conflict as error:
        return redirect(request, here, error.message, "warning")
    session.commit()
    if resolution is Resolution.RESEND:
        queue.nudge(queue.DISPATCH)
    return redirect(request, here, done_words(resolution, done))


def _last_mail(session: Session, copy: Copy, attempts: Sequence[Attempt], settings: Settings) -> Rebuilt | None:
    """The mail of the last attempt that handed one over; None where none did."""
    sent = [attempt for attempt in attempts if attempt.message_sha256 is not None]
    return rebuild(session, sent[-1], copy.address, settings) if sent else None


def _audience(session: Session, copy: Copy, mailing: Mailing) -> list[tuple[MailingList, Subscription]]:
    """By which of the mailing's lists the contact came into its audience."""
    if copy.delivery.contact_id is None:
        return []
    rows = session.execute(
        select(MailingList, Subscription)
        .join(Subscription, Subscription.list_id == MailingList.id)
        .where(Subscription.contact_id == copy.delivery.contact_id, MailingList.id.in_(mailing.list_ids))
        .order_by(MailingList.name)
    )
    return [(one, subscription) for one, subscription in rows]


def _suppression(session: Session, copy: Copy) -> Suppression | None:
    query = select(Suppression).where(Suppression.address_hash == copy.delivery.address_hash)
    return session.scalars(query).one_or_none()


def _retryable(copy: Copy, mailing: Mailing) -> Retryable | None:
    """What a retry by hand is called for this copy, where its mailing is it alone."""
    if mailing.kind not in OF_ONE:
        return None
    return next((one for one in Retryable if one == copy.delivery.state), None)
