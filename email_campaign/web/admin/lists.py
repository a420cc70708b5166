"""Pages: mailing lists and who is on them."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import Select, select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from email_campaign import queue
from email_campaign.audience import contacts, lists, subscriptions
from email_campaign.audience.contacts import Contact, ContactDraft
from email_campaign.audience.lists import MailingList
from email_campaign.audience.search import contains
from email_campaign.audience.subscriptions import AlreadyUnsubscribed, Source, Subscription, SubscriptionState
from email_campaign.campaigns import welcome_mail
from email_campaign.content import templates
from email_campaign.content.templates import Template
from email_campaign.errors import Conflict, Invalid
from email_campaign.reports.welcome import welcome_mail as welcome_mail_of
from email_campaign.web import written
from email_campaign.web.admin import people
from email_campaign.web.admin.listing import read_listing
from email_campaign.web.collisions import Sides, collide, show_collision
from email_campaign.web.deps import NowDep, PageUser, PathId, SessionDep, SettingsDep
from email_campaign.web.formatting import count
from email_campaign.web.forms import Form, FormDep, whole_number
from email_campaign.web.pages import redirect, refuse_form, render
from email_campaign.web.paging import MAX_LIMIT, PageDep
from email_campaign.web.welcoming import nudge_welcome
from email_campaign.web.written import Written

LIST = "admin/lists/list.html"
NEW = "admin/lists/new.html"
ONE = "admin/lists/mailing_list.html"
EDIT = "admin/lists/edit.html"
ADD = "admin/lists/add.html"
REMOVE = "admin/lists/remove.html"
HERE = "/admin/lists"
TEMPLATES_OFFERED = 500

router = APIRouter(prefix="/lists")


@router.get("")
def list_lists(request: Request, session: SessionDep, page: PageDep) -> Response:
    """Lists in use with their numbers, the newest first."""
    listing = read_listing(request, session, lists.live_lists(), [MailingList.id], page)
    counts = lists.member_counts(session, [one.id for one in listing.items])
    return render(request, LIST, listing=listing, counts=counts)


@router.get("/new")
def new_list(request: Request) -> Response:
    """The form for a list."""
    return render(request, NEW, values={}, errors={}, form_error="")


@router.post("/new")
def create_list(request: Request, session: SessionDep, form: FormDep, now: NowDep) -> Response:
    """Make a list."""
    try:
        made = lists.create_list(session, form["name"], form["description"], now)
    except (Invalid, Conflict) as error:
        session.rollback()
        return refuse_form(request, NEW, form, _on_name(error))
    session.commit()
    return redirect(request, f"{HERE}/{made.id}", f"The list “{made.name}” was made. Now put people on it.")


@router.get("/{list_id}")
def show_list(
    request: Request,
    session: SessionDep,
    list_id: PathId,
    page: PageDep,
    q: Annotated[str, Query(max_length=320)] = "",
    state: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """A list with its members, of one state or of all."""
    one = lists.get_list(session, list_id)
    chosen = SubscriptionState(state) if state in list(SubscriptionState) else None
    counts = lists.member_counts(session, [list_id])[list_id]
    by_state = asdict(counts)
    known = by_state[chosen] if chosen else sum(by_state.values())
    listing = read_listing(
        request,
        session,
        _members(list_id, chosen, q),
        [Subscription.contact_id],
        page,
        is_filtered=bool(q.strip()),
        known=None if q.strip() else known,
    )
    found = session.scalars(select(Contact).where(Contact.id.in_([member.contact_id for member in listing.items])))
    by_id = {contact.id: contact for contact in found}
    suppressed = people.suppressions_of(session, list(by_id.values()))
    rows = []
    for member in listing.items:
        contact = by_id[member.contact_id]
        tone, word = people.standing(suppressed.get(contact.address_hash), [member.state])
        rows.append({"member": member, "contact": contact, "tone": tone, "word": word})
    return render(
        request,
        ONE,
        list=one,
        counts=counts,
        listing=listing,
        rows=rows,
        q=q.strip(),
        state=chosen.value if chosen else "",
        welcome=welcome_mail_of(session, one),
    )


@router.get("/{list_id}/edit")
def edit_list(request: Request, session: SessionDep, list_id: PathId) -> Response:
    """The form of a list, and its end."""
    one = lists.get_live_list(session, list_id)
    fields = written.mailing_list(one)
    values = {**fields, "version": written.version_of(fields)}
    return render(request, EDIT, values=values, errors={}, form_error="", **_edited(session, one))


@router.post("/{list_id}/edit")
def change_list(request: Request, session: SessionDep, list_id: PathId, form: FormDep) -> Response:
    """Rename a list, describe it anew, or choose its welcome mail."""
    try:
        theirs = written.mailing_list(lists.lock_list(session, list_id))
        typed = _typed(form)
        if collision := collide(form["version"], theirs, typed):
            session.rollback()
            context = _edited(session, lists.get_live_list(session, list_id))
            sides = Sides(theirs, typed, _in_words(session, theirs))
            return show_collision(request, EDIT, collision, sides, **context)
        changed = lists.change_list(session, list_id, typed["name"], typed["description"])
        welcome_mail.choose(session, list_id, typed["welcome_template_id"])
    except (Invalid, Conflict) as error:
        session.rollback()
        return refuse_form(
            request, EDIT, form, _on_name(error), **_edited(session, lists.get_live_list(session, list_id))
        )
    session.commit()
    return redirect(request, f"{HERE}/{list_id}", f"The list “{changed.name}” was saved.")


@router.post("/{list_id}/archive")
def archive_list(request: Request, session: SessionDep, list_id: PathId, now: NowDep) -> Response:
    """Take a list out of use."""
    archived = lists.archive_list(session, list_id, now)
    session.commit()
    return redirect(request, HERE, f"The list “{archived.name}” was archived. Its members and history are kept.")


@router.post("/{list_id}/welcome/resume")
def resume_welcome(request: Request, session: SessionDep, user: PageUser, list_id: PathId) -> Response:
    """Let the welcome mail go on where it was paused."""
    welcome_mail.resume_welcome(session, list_id, actor=user.name)
    session.commit()
    queue.nudge(queue.DISPATCH)
    return redirect(request, f"{HERE}/{list_id}", "The welcome mail goes out again.")


@router.get("/{list_id}/add")
def new_member(request: Request, session: SessionDep, list_id: PathId) -> Response:
    """The form for one member."""
    one = lists.get_live_list(session, list_id)
    return render(request, ADD, list=one, values={}, errors={}, form_error="")


@router.post("/{list_id}/add")
def add_member(
    request: Request, session: SessionDep, settings: SettingsDep, list_id: PathId, form: FormDep, now: NowDep
) -> Response:
    """Put somebody on the list by address; who is no contact yet becomes one."""
    one = lists.get_live_list(session, list_id)
    state = SubscriptionState.PENDING if form["state"] == "pending" else SubscriptionState.CONFIRMED
    try:
        draft = ContactDraft(form["address"], form["name"] or None)
        saved = contacts.save_contact(session, people.address_key(settings), draft, now)
        subscriptions.subscribe(session, saved.contact.id, list_id, state, Source.HAND, form["detail"], now)
    except (Invalid, AlreadyUnsubscribed) as error:
        session.rollback()
        problem = error if isinstance(error, Invalid) else Invalid.field("detail", people.LEFT_THE_LIST)
        return refuse_form(request, ADD, form, problem, list=lists.get_live_list(session, list_id))
    session.commit()
    nudge_welcome(session, list_id)
    return redirect(request, f"{HERE}/{list_id}", f"{saved.contact.address} is on “{one.name}” now.")


@router.post("/{list_id}/remove")
def ask_to_remove(request: Request, session: SessionDep, list_id: PathId, form: FormDep) -> Response:
    """Ask before the chosen members are unsubscribed."""
    one, chosen = lists.get_list(session, list_id), _chosen(form)
    if not chosen:
        return redirect(request, f"{HERE}/{list_id}", "Nobody was selected; tick the boxes first.", "warning")
    return render(request, REMOVE, list=one, chosen=chosen)


@router.post("/{list_id}/remove/confirmed")
def remove_members(request: Request, session: SessionDep, list_id: PathId, form: FormDep, now: NowDep) -> Response:
    """Unsubscribe the chosen members, by hand."""
    lists.get_list(session, list_id)
    changed = sum(
        subscriptions.unsubscribe(session, contact_id, [list_id], Source.HAND, "", now) for contact_id in _chosen(form)
    )
    session.commit()
    were = "was" if changed == 1 else "were"
    return redirect(request, f"{HERE}/{list_id}", f"{count(changed, 'member')} {were} unsubscribed.")


def _members(list_id: int, state: SubscriptionState | None, term: str) -> Select[Subscription]:
    members = subscriptions.members(list_id, state)
    if not term.strip():
        return members
    people_found = contains(term.strip(), Contact.address, Contact.name)
    return members.join(Contact, Contact.id == Subscription.contact_id).where(people_found)


def _chosen(form: Form) -> list[int]:
    """In the order of their ids, so that two who do this at once wait for each other and never in a ring."""
    chosen = {whole_number(text) for text in form.all("selected")}
    return sorted(found for found in chosen if found is not None)[:MAX_LIMIT]


def _typed(form: Form) -> Written:
    return {
        "name": form["name"],
        "description": form["description"].replace("\r\n", "\n"),
        "welcome_template_id": _template_id(form["welcome_template_id"]),
    }


def _in_words(session: Session, fields: Written) -> dict[str, tuple[str, str]]:
    welcome = session.get(Template, fields["welcome_template_id"] or 0)
    return {
        "name": ("Name", fields["name"]),
        "description": ("Description", fields["description"]),
        "welcome_template_id": ("Welcome mail", welcome.name if welcome else "none"),
    }


def _template_id(text: str) -> int | None:
    """What was chosen; 0, which no template has, for what cannot be an id."""
    return whole_number(text) or 0 if text else None


def _edited(session: Session, one: MailingList) -> dict[str, Any]:
    is_chosen = Template.id == (one.welcome_template_id or 0)  # it is offered however many there are
    offered = session.scalars(
        templates.live_templates().order_by(is_chosen.desc(), Template.name).limit(TEMPLATES_OFFERED)
    ).all()
    return {
        "list": one,
        "counts": lists.member_counts(session, [one.id])[one.id],
        "templates": [(template.id, template.name) for template in offered],
    }


def _on_name(error: Invalid | Conflict) -> Invalid:
    return error if isinstance(error, Invalid) else Invalid.field("name", error.message)
