"""Pages: unsubscribe by the link of a mail (RFC 8058): looking changes nothing, one POST without sign-in does it."""

from dataclasses import dataclass

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from email_campaign.audience.lists import MailingList
from email_campaign.audience.subscriptions import Source, Subscription, SubscriptionState, unsubscribe
from email_campaign.campaigns.mailings import Mailing
from email_campaign.delivery.compose import read_unsubscribe_token
from email_campaign.delivery.deliveries import Delivery
from email_campaign.delivery.orders import derive_keys
from email_campaign.settings import Settings
from email_campaign.web.deps import NowDep, SessionDep, SettingsDep
from email_campaign.web.pages import render

TEMPLATE = "public/unsubscribe.html"

router = APIRouter()


@dataclass(frozen=True, slots=True)
class _Link:
    """Whom a genuine link names. No contact: a test, a preview, or somebody who was erased."""

    mailing: Mailing
    contact_id: int | None


# Link scanners of mail providers follow every link: reading must be harmless, also with HEAD.
@router.api_route("/u/{token}", methods=["GET", "HEAD"])
def show_unsubscribe(request: Request, session: SessionDep, settings: SettingsDep, token: str) -> Response:
    """One card with the lists and one button."""
    link = _read(session, settings, token)
    if link is None:
        return render(request, TEMPLATE, status_code=404, outcome="unknown", sender="", list_names=[])
    names = _names_of_lists(session, link)
    outcome = "ask" if names else "nothing"
    return render(request, TEMPLATE, outcome=outcome, sender=_sender(link.mailing), list_names=names)


@router.post("/u/{token}")
def unsubscribe_by_link(
    request: Request, session: SessionDep, settings: SettingsDep, now: NowDep, token: str
) -> Response:
    """Unsubscribe from the lists of that mailing. 200 also for a repeated, stale or unknown link: RFC 8058 clients
    send no cookie, read no page, and would take anything else for a sender who does not let go."""
    link = _read(session, settings, token)
    if link is None:
        return render(request, TEMPLATE, outcome="nothing", sender="", list_names=[])
    names = _names_of_lists(session, link)
    if link.contact_id is not None:
        detail = f"mailing {link.mailing.id}"
        unsubscribe(session, link.contact_id, link.mailing.list_ids, Source.LINK, detail, now)
        session.commit()
    outcome = "done" if names else "nothing"
    return render(request, TEMPLATE, outcome=outcome, sender=_sender(link.mailing), list_names=names)


def _read(session: Session, settings: Settings, token: str) -> _Link | None:
    named = read_unsubscribe_token(derive_keys(settings).unsubscribe, token)
    mailing = session.get(Mailing, named[0]) if named else None
    if named is None or mailing is None:
        return None
    delivery = session.get(Delivery, named)
    return _Link(mailing, delivery.contact_id if delivery else None)


def _names_of_lists(session: Session, link: _Link) -> list[str]:
    """The lists of the mailing that the contact is on."""
    on = select(Subscription.list_id).where(
        Subscription.contact_id == link.contact_id, Subscription.state != SubscriptionState.UNSUBSCRIBED
    )
    lists = select(MailingList.name).where(MailingList.id.in_(link.mailing.list_ids), MailingList.id.in_(on))
    return list(session.scalars(lists.order_by(MailingList.name)))


def _sender(mailing: Mailing) -> str:
    return mailing.from_name or mailing.from_address
