"""Pages: images. Which pictures can mails show, and how?"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from email_campaign import queue
from email_campaign.accounts.users import User
from email_campaign.errors import Conflict, Invalid
from email_campaign.media import images
from email_campaign.media.images import Image, ImageState, Rendition, Upload
from email_campaign.media.tags import ADDRESS, proposed, tag_of, url_of
from email_campaign.reports.images import uses_of
from email_campaign.settings import Settings
from email_campaign.tasks import tasks
from email_campaign.tasks.tasks import Task, TaskState
from email_campaign.web import written
from email_campaign.web.admin.listing import read_listing
from email_campaign.web.collisions import Sides, collide, show_collision
from email_campaign.web.deps import NowDep, PageUser, PathId, SessionDep, SettingsDep
from email_campaign.web.forms import FormDep
from email_campaign.web.pages import redirect, refuse_form, render
from email_campaign.web.paging import PageDep

LIST = "admin/images/list.html"
NEW = "admin/images/new.html"
ONE = "admin/images/image.html"
HERE = "/admin/images"
RECENT = 6

router = APIRouter(prefix="/images")


@router.get("")
def list_images(
    request: Request, session: SessionDep, page: PageDep, q: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Images, the newest first."""
    found = images.all_images(q)
    listing = read_listing(request, session, found, [Image.id], page, is_filtered=bool(q.strip()))
    people = {one.created_by for one in listing.items}
    names = {user.id: user.name for user in session.scalars(select(User).where(User.id.in_(people)))}
    rows = [row | {"by": names.get(row["image"].created_by, "")} for row in _rows(session, listing.items)]
    return render(request, LIST, listing=listing, rows=rows, q=q.strip())


@router.get("/new")
def new_image(request: Request, settings: SettingsDep) -> Response:
    """The form: which file, and what it shows."""
    return render(request, NEW, values={}, errors={}, form_error="", settings=settings)


@router.post("")
def upload_image(
    request: Request, session: SessionDep, settings: SettingsDep, user: PageUser, form: FormDep, now: NowDep
) -> Response:
    """Take the file, or say why not; its renditions are made behind it."""
    try:
        file = form.file("file")
        if file is None:
            raise Invalid.field("file", "Choose the picture first.")
        upload = Upload(file_name=file.filename or "", file=file.file, alt=form["alt"], created_by=user.id)
        taken = images.take_in(session, upload, settings, now)
    except Invalid as error:
        session.rollback()
        return refuse_form(request, NEW, form, error, settings=settings)
    session.commit()
    queue.nudge(queue.PREPARE_IMAGE, taken.id)
    return redirect(request, f"{HERE}/{taken.id}")


@router.get("/{image_id}")
def show_image(request: Request, session: SessionDep, settings: SettingsDep, image_id: PathId, now: NowDep) -> Response:
    """An image with its tags to copy, and where it is used."""
    one = images.get_image(session, image_id)
    fields = written.image(one)
    values = {**fields, "version": written.version_of(fields)}
    return render(request, ONE, values=values, errors={}, form_error="", **_context(session, one, settings, now))


@router.post("/{image_id}")
def change_image(
    request: Request, session: SessionDep, settings: SettingsDep, image_id: PathId, form: FormDep, now: NowDep
) -> Response:
    """Save what the picture shows, for those who do not see it."""
    try:
        theirs = written.image(images.lock_image(session, image_id))
        typed = {"alt": form["alt"]}
        if collision := collide(form["version"], theirs, typed):
            session.rollback()
            context = _context(session, images.get_image(session, image_id), settings, now)
            sides = Sides(theirs, typed, {"alt": ("Alt text", str(theirs["alt"]))})
            return show_collision(request, ONE, collision, sides, **context)
        images.change_alt(session, image_id, typed["alt"])
    except Invalid as error:
        session.rollback()
        context = _context(session, images.get_image(session, image_id), settings, now)
        return refuse_form(request, ONE, form, error, **context)
    session.commit()
    return redirect(request, f"{HERE}/{image_id}", "The alt text was saved. Tags that were copied before keep theirs.")


@router.post("/{image_id}/again")
def make_again(request: Request, session: SessionDep, user: PageUser, image_id: PathId, now: NowDep) -> Response:
    """Make what is missing, after a failure or a cancel."""
    task = images.make_again(session, image_id, user.id, now)
    session.commit()
    queue.nudge(queue.HOP, task.id)
    return redirect(request, f"{HERE}/{image_id}")


@router.post("/{image_id}/delete")
def delete_image(request: Request, session: SessionDep, image_id: PathId, form: FormDep, now: NowDep) -> Response:
    """Delete an image; one that is used only by somebody who was told so."""
    if uses_of(session, images.lock_image(session, image_id)) and not form["is_used"]:
        raise Conflict("The image came into use meanwhile. Look at where, and ask again.")
    deleted = images.delete_image(session, image_id, now)
    session.commit()
    queue.nudge(queue.TIDY_IMAGES)
    return redirect(request, HERE, f"The image “{deleted.file_name}” was deleted.")


def recent_images(session: Session, settings: Settings) -> list[dict[str, Any]]:
    """The newest that are ready, each with a tag to copy."""
    ready = images.all_images().join(Task, Task.id == Image.task_id).where(Task.state == TaskState.SUCCEEDED)
    rows = _rows(session, session.scalars(ready.order_by(Image.id.desc()).limit(RECENT)).all())
    return [row | {"tag": tag_of(row["image"], proposed(row["renditions"]), settings)} for row in rows]


def _rows(session: Session, found: Sequence[Image]) -> list[dict[str, Any]]:
    renditions = images.renditions_of(session, [one.id for one in found])
    by_id = {task.id: task for task in session.scalars(select(Task).where(Task.id.in_([one.task_id for one in found])))}
    return [
        {
            "image": one,
            "state": images.state_of(by_id[one.task_id]),
            "renditions": renditions[one.id],
            "shown": _shown(one, renditions[one.id][0]),
        }
        for one in found
    ]


def _shown(image: Image, rendition: Rendition) -> Mapping[str, Any]:
    """A rendition as our own pages show it: from here, whatever recipients' mails name."""
    return {"src": f"{ADDRESS}/{rendition.key(image)}", "width": rendition.width, "height": rendition.height}


def _context(session: Session, one: Image, settings: Settings, now: datetime) -> dict[str, Any]:
    task = session.get_one(Task, one.task_id)
    session.refresh(one)  # never older than its task
    renditions = images.renditions_of(session, [one.id])[one.id]
    return {
        "one": one,
        "task": task,
        "pace": tasks.pace(task, now),
        "state": images.state_of(task),
        "is_ready": images.state_of(task) is ImageState.READY,
        "reason": images.failure_of(task),
        "by": session.get(User, one.created_by) if one.created_by else None,
        "made": [
            {
                "rendition": each,
                "url": url_of(one, each, settings),
                "tag": tag_of(one, each, settings),
                "is_proposed": each is proposed(renditions),
            }
            for each in renditions
        ],
        "shown": _shown(one, proposed(renditions)),
        "uses": uses_of(session, one),
    }
