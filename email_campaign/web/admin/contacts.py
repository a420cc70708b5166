"""Pages: contacts. Who is this, and may we mail them?"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from email_campaign.audience import contacts, lists, subscriptions, suppressions
from email_campaign.audience.contacts import Contact, ContactDraft
from email_campaign.audience.lists import MailingList
from email_campaign.audience.subscriptions import AlreadyUnsubscribed, Source, SubscriptionState
from email_campaign.audience.suppressions import Cause, SuppressionReason
from email_campaign.delivery.erasure import erase_person
from email_campaign.errors import Invalid
from email_campaign.reports.contacts import copies_for
from email_campaign.reports.reasons import reason_words
from email_campaign.web import written
from email_campaign.web.admin import people
from email_campaign.web.admin.attribute_lines import changes, on_field, read_lines, write_lines
from email_campaign.web.admin.listing import read_listing
from email_campaign.web.collisions import Collision, Sides, collide, show_collision
from email_campaign.web.deps import NowDep, PathId, SessionDep, SettingsDep
from email_campaign.web.forms import Form, FormDep, whole_number
from email_campaign.web.pages import redirect, refuse_form, render
from email_campaign.web.paging import PageDep
from email_campaign.web.welcoming import nudge_welcome

LIST = "admin/contacts/list.html"
NEW = "admin/contacts/new.html"
ONE = "admin/contacts/contact.html"
HERE = "/admin/contacts"
EVENTS_SHOWN = 100
LISTS_OFFERED = 500

router = APIRouter(prefix="/contacts")


@router.get("")
def list_contacts(
    request: Request, session: SessionDep, page: PageDep, q: Annotated[str, Query(max_length=320)] = ""
) -> Response:
    """Contacts, the newest first."""
    listing = read_listing(
        request, session, contacts.contacts_matching(q), [Contact.id], page, is_filtered=bool(q.strip())
    )
    suppressed = people.suppressions_of(session, listing.items)
    on_lists = people.subscriptions_by_contact(session, listing.items)
    rows = []
    for one in listing.items:
        mine = on_lists[one.id]
        tone, word = people.standing(suppressed.get(one.address_hash), [member.state for member, _ in mine])
        names = [named.name for member, named in mine if member.state is not SubscriptionState.UNSUBSCRIBED]
        rows.append({"contact": one, "lists": names, "tone": tone, "word": word})
    return render(request, LIST, listing=listing, rows=rows, q=q.strip())


@router.get("/new")
def new_contact(request: Request, session: SessionDep, list_id: Annotated[int | None, Query()] = None) -> Response:
    """The form for one contact."""
    values = {"lists": [str(list_id)] if list_id else []}
    return render(request, NEW, values=values, errors={}, form_error="", lists=_lists(session))


@router.post("/new")
def add_contact(request: Request, session: SessionDep, settings: SettingsDep, form: FormDep, now: NowDep) -> Response:
    """Add one contact and put them on lists, by hand."""
    try:
        draft = ContactDraft(form["address"], form["name"] or None, read_lines(form.raw("attributes")))
        saved = contacts.save_contact(session, people.address_key(settings), draft, now)
        _put_on_lists(session, saved.contact, form, now)
    except AlreadyUnsubscribed:
        return _refuse_new(request, session, form, Invalid.field("detail", people.LEFT_THE_LIST))
    except Invalid as error:
        return _refuse_new(request, session, form, on_field(error))
    session.commit()
    nudge_welcome(session, *(one.list_id for one in subscriptions.subscriptions_of(session, saved.contact.id)))
    said = "was added" if saved.created else "was a contact already, and was changed"
    return redirect(request, f"{HERE}/{saved.contact.id}", f"{saved.contact.address} {said}.")


@router.get("/{contact_id}")
def show_contact(request: Request, session: SessionDep, contact_id: PathId) -> Response:
    """One contact."""
    contact = contacts.get_contact(session, contact_id)
    return render(request, ONE, values={}, errors={}, form_error="", refused="", **_one(session, contact))


@router.post("/{contact_id}")
def change_contact(request: Request, session: SessionDep, contact_id: PathId, form: FormDep, now: NowDep) -> Response:
    """Change name and attributes."""
    try:
        lines = read_lines(form.raw("attributes"))
        saved = contacts.lock_contact(session, contact_id)
        typed = {"name": form["name"], "attributes": lines}
        if collision := collide(form["version"], written.contact(saved), typed):
            theirs = {"name": saved.name, "attributes": write_lines(saved.attributes)}
            return _collide(request, session, contact_id, form, collision, theirs)
        contacts.change_contact(session, contact_id, form["name"], changes(form.all("shown"), lines), now)
    except Invalid as error:
        return _refuse(request, session, contact_id, form, on_field(error), refused="contact")
    session.commit()
    return redirect(request, f"{HERE}/{contact_id}", "The contact was saved.")


@router.post("/{contact_id}/lists")
def subscribe(request: Request, session: SessionDep, contact_id: PathId, form: FormDep, now: NowDep) -> Response:
    """Put the contact on a list, by hand."""
    contact = contacts.get_contact(session, contact_id)
    try:
        if (list_id := whole_number(form["list_id"])) is None:
            raise Invalid.field("list_id", "Choose a list.")
        wanted = lists.get_live_list(session, list_id)
        subscriptions.subscribe(session, contact.id, wanted.id, _state(form), Source.HAND, form["detail"], now)
    except AlreadyUnsubscribed:
        problem = Invalid.field("detail", people.LEFT_THE_LIST)
        return _refuse(request, session, contact_id, form, problem, refused="list")
    except Invalid as error:
        return _refuse(request, session, contact_id, form, error, refused="list")
    session.commit()
    nudge_welcome(session, wanted.id)
    return redirect(request, f"{HERE}/{contact_id}", f"{contact.address} is on “{wanted.name}” now.")


@router.post("/{contact_id}/lists/{list_id}/unsubscribe")
def unsubscribe(
    request: Request, session: SessionDep, contact_id: PathId, list_id: PathId, form: FormDep, now: NowDep
) -> Response:
    """Take the contact off a list, by hand."""
    subscriptions.get_subscription(session, contact_id, list_id)
    subscriptions.unsubscribe(session, contact_id, [list_id], Source.HAND, form["detail"], now)
    session.commit()
    return redirect(request, f"{HERE}/{contact_id}", "They are unsubscribed from the list.")


@router.post("/{contact_id}/suppress")
def suppress(
    request: Request, session: SessionDep, settings: SettingsDep, contact_id: PathId, form: FormDep, now: NowDep
) -> Response:
    """Mail this contact no more, by hand."""
    contact = contacts.get_contact(session, contact_id)
    cause = Cause(SuppressionReason.BY_HAND, form["note"][:1000])
    suppressions.suppress(session, people.address_key(settings), contact.address, cause, now)
    session.commit()
    return redirect(request, f"{HERE}/{contact_id}", f"{contact.address} is mailed no more.")


@router.post("/{contact_id}/lift")
def lift(request: Request, session: SessionDep, contact_id: PathId, form: FormDep) -> Response:
    """Allow this contact's address to be mailed again, if the suppression is the one that the page showed."""
    contact = contacts.get_contact(session, contact_id)
    suppression = suppressions.find_suppression(session, contact.address_hash)
    if suppression is not None and form["suppression_id"] not in ("", str(suppression.id)):
        told = f"{contact.address} was suppressed anew meanwhile, and stays so: look at the reason."
        return redirect(request, f"{HERE}/{contact_id}", told, "warning")
    if suppression is not None:
        suppressions.lift_suppression(session, suppression.id)
        session.commit()
    return redirect(request, f"{HERE}/{contact_id}", "The suppression was lifted.")


@router.post("/{contact_id}/erase")
def erase(request: Request, session: SessionDep, contact_id: PathId) -> Response:
    """Forget the person."""
    erase_person(session, contact_id)
    session.commit()
    return redirect(request, HERE, "The contact was erased. A hash of the address is kept where it keeps mail away.")


def _refuse_new(request: Request, session: Session, form: Form, error: Invalid) -> Response:
    session.rollback()
    return refuse_form(request, NEW, form, error, lists=_lists(session))


def _refuse(
    request: Request, session: Session, contact_id: int, form: Form, error: Invalid, *, refused: str
) -> Response:
    session.rollback()
    contact = contacts.get_contact(session, contact_id)
    return refuse_form(request, ONE, form, error, refused=refused, **_one(session, contact))


def _collide(
    request: Request, session: Session, contact_id: int, form: Form, collision: Collision, theirs: Mapping[str, str]
) -> Response:
    session.rollback()
    typed = {"name": form["name"], "attributes": form.raw("attributes")}
    words = {name: (name.capitalize(), text) for name, text in theirs.items()}
    context = _one(session, contacts.get_contact(session, contact_id))
    return show_collision(request, ONE, collision, Sides(theirs, typed, words), refused="contact", **context)


def _put_on_lists(session: Session, contact: Contact, form: Form, now: datetime) -> None:
    for text in form.all("lists"):
        wanted = lists.get_live_list(session, whole_number(text) or 0)
        subscriptions.subscribe(session, contact.id, wanted.id, _state(form), Source.HAND, form["detail"], now)


def _state(form: Form) -> SubscriptionState:
    return SubscriptionState.PENDING if form["state"] == SubscriptionState.PENDING else SubscriptionState.CONFIRMED


def _lists(session: Session) -> list[MailingList]:
    return list(session.scalars(lists.live_lists().order_by(MailingList.name).limit(LISTS_OFFERED)))


def _one(session: Session, contact: Contact) -> dict[str, Any]:
    members = subscriptions.subscriptions_of(session, contact.id)
    events = session.scalars(subscriptions.history_of(contact.id).limit(EVENTS_SHOWN)).all()
    list_ids = {one.list_id for one in members} | {event.list_id for event in events}
    named = {list_id: lists.get_list(session, list_id) for list_id in list_ids}
    suppression = suppressions.find_suppression(session, contact.address_hash)
    live = [one for one in members if named[one.list_id].archived_at is None]
    confirmed = {one.list_id for one in live if one.state is SubscriptionState.CONFIRMED}
    tone, word = people.standing(suppression, [one.state for one in live])
    return {
        "contact": contact,
        "attribute_lines": write_lines(contact.attributes),
        "version": written.version_of(written.contact(contact)),
        "tone": tone,
        "word": word,
        "suppression": suppression,
        "suppression_reason": people.REASON_SENTENCES[suppression.reason] if suppression else "",
        "confirmed": [named[list_id] for list_id in sorted(confirmed)],
        "members": [(one, named[one.list_id], people.SUBSCRIPTION_TONES[one.state]) for one in members],
        "events": [
            {
                "at": event.at,
                "what": f"{people.CHANGES[event.state][0]} “{named[event.list_id].name}”, "
                f"{people.SOURCES.get(event.source, event.source)}.",
                "why": event.detail,
                "tone": people.CHANGES[event.state][1],
            }
            for event in events
        ],
        "copies": [(copy, reason_words(copy.reason)) for copy in copies_for(session, contact.id)],
        "lists": [
            one
            for one in _lists(session)
            if one.id not in {member.list_id for member in live if member.state is SubscriptionState.CONFIRMED}
        ],
    }
