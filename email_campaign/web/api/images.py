"""API: images that mails show: uploaded, made in several widths, described, deleted."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.datastructures import FormData, UploadFile

from email_campaign import queue
from email_campaign.errors import Conflict, Invalid
from email_campaign.media import images
from email_campaign.media.images import Image, ImageState, Rendition, Upload
from email_campaign.media.pictures import MEDIA_TYPES, Format
from email_campaign.media.tags import tag_of, url_of
from email_campaign.reports.images import uses_of
from email_campaign.settings import Settings
from email_campaign.tasks.tasks import Task
from email_campaign.web import written
from email_campaign.web.deps import ApiUser, NowDep, PathId, SessionDep, SettingsDep
from email_campaign.web.etags import TAGGED, IfMatchDep, set_etag
from email_campaign.web.idempotency import OnceDep
from email_campaign.web.paging import Page, PageDep, read_page

router = APIRouter(prefix="/images", tags=["images"])

ALT = "What the picture shows, for those who do not see it; empty for mere decoration."
UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "x-file": "tulips.jpg",
                            "description": "A JPEG, PNG, GIF or WebP picture; its bytes say which, not its name.",
                        },
                        "alt": {"type": "string", "example": "Tulips in a field", "description": ALT},
                    },
                }
            }
        },
    }
}


class RenditionOut(BaseModel):
    """The picture in one width. Its URL works for recipients once the image is ready, and never changes."""

    width: Annotated[int, Field(examples=[600])]
    height: Annotated[int, Field(examples=[400])]
    media_type: Annotated[str, Field(examples=["image/jpeg"])]
    byte_count: Annotated[int | None, Field(description="Null until it is made.", examples=[48_210])]
    url: Annotated[str, Field(examples=["https://mail.example.com/media/7-0f…/600.jpg"])]
    tag: str = Field(description="An `<img>` with this URL, to be put into a template.")


class ImageOut(BaseModel):
    """An image. Its task has the progress, and can be cancelled."""

    id: int
    task_id: int = Field(description="Of the last making; another one when it is made again.")
    file_name: Annotated[str, Field(examples=["tulips.jpg"])]
    alt: Annotated[str, Field(description=ALT, examples=["Tulips in a field"])]
    format: Format
    is_animated: bool = Field(description="It moves, and is kept byte for byte in its own width.")
    width: Annotated[int, Field(description="Of the original, upright.", examples=[4032])]
    height: Annotated[int, Field(examples=[3024])]
    byte_count: Annotated[int, Field(description="Of the original.", examples=[3_482_110])]
    state: ImageState
    error: str | None = Field(description="Why it failed, and what to do.")
    renditions: list[RenditionOut]
    created_at: datetime


class ImagePatch(BaseModel):
    """What is to be changed."""

    model_config = ConfigDict(extra="forbid")

    alt: Annotated[str, Field(description=ALT, examples=["Tulips in a field"])]


async def _uploaded(request: Request, _user: ApiUser) -> AsyncIterator[FormData]:
    """The form, read only after the token was found good: a stranger's file never reaches the disk."""
    async with request.form(max_files=1, max_fields=10) as form:
        yield form


@router.get("")
def list_images(
    session: SessionDep,
    settings: SettingsDep,
    page: PageDep,
    q: Annotated[str, Query(max_length=200, description="A piece of file name or alt text.")] = "",
) -> Page[ImageOut]:
    """Images, the newest first."""
    rows = read_page(session, images.all_images(q), [Image.id], page)
    return Page(items=_all_out(session, rows.items, settings), next=rows.next)


@router.post("", status_code=202, openapi_extra=UPLOAD)
def upload_image(
    session: SessionDep,
    settings: SettingsDep,
    user: ApiUser,
    now: NowDep,
    form: Annotated[FormData, Depends(_uploaded)],
    once: OnceDep,
) -> ImageOut:
    """Take a picture, keep it, and make its renditions in the background. What is none is refused at once, with the
    reason."""
    file, alt = form.get("file"), form.get("alt") or ""
    if not isinstance(file, UploadFile):
        raise Invalid.field("file", "Send the picture as the field `file` of a multipart form.")
    if not isinstance(alt, str):
        raise Invalid.field("alt", "The alt text is text.")
    upload = Upload(file_name=file.filename or "", file=file.file, alt=alt, created_by=user.id)
    taken = images.take_in(session, upload, settings, now)
    answer = _out(session, taken, settings)
    once.keep(202, answer)
    session.commit()
    queue.nudge(queue.PREPARE_IMAGE, taken.id)
    return answer


@router.get("/{image_id}", responses=TAGGED)
def show_image(session: SessionDep, settings: SettingsDep, image_id: PathId, response: Response) -> ImageOut:
    """An image with its renditions; ask again while it is `processing`."""
    one = images.get_image(session, image_id)
    set_etag(response, written.image(one))
    return _out(session, one, settings)


@router.patch("/{image_id}", responses=TAGGED)
def change_image(
    session: SessionDep, settings: SettingsDep, if_match: IfMatchDep, image_id: PathId, wanted: ImagePatch
) -> ImageOut:
    """Change the alt text. Tags that were copied before keep theirs."""
    if_match.check(written.image(images.lock_image(session, image_id)))
    changed = images.change_alt(session, image_id, wanted.alt)
    session.commit()
    if_match.answer(written.image(changed))
    return _out(session, changed, settings)


@router.post("/{image_id}/again", status_code=202)
def make_image_again(
    session: SessionDep, settings: SettingsDep, user: ApiUser, now: NowDep, once: OnceDep, image_id: PathId
) -> ImageOut:
    """Make what is missing, after a failure or a cancel, with a new task. 409 while it is being made."""
    task = images.make_again(session, image_id, user.id, now)
    answer = _out(session, images.get_image(session, image_id), settings)
    once.keep(202, answer)
    session.commit()
    queue.nudge(queue.HOP, task.id)
    return answer


@router.delete("/{image_id}", status_code=204)
def delete_image(
    session: SessionDep,
    now: NowDep,
    if_match: IfMatchDep,
    image_id: PathId,
    even_if_used: Annotated[bool, Query(description="Also where templates or mails that went out show it.")] = False,
) -> None:
    """Delete an image with its files. 409 where it is used: mails that went out would show a gap."""
    one = images.lock_image(session, image_id)
    if_match.check(written.image(one))
    uses = uses_of(session, one)
    if uses and not even_if_used:
        raise Conflict(
            f"It is used by {uses.template_count:,} templates and {uses.launched_count:,} launched campaigns, whose "
            "mails would show a gap. Send even_if_used=true to delete it all the same."
        )
    images.delete_image(session, image_id, now)
    session.commit()
    queue.nudge(queue.TIDY_IMAGES)


def _out(session: Session, one: Image, settings: Settings) -> ImageOut:
    return _all_out(session, [one], settings)[0]


def _all_out(session: Session, found: Sequence[Image], settings: Settings) -> list[ImageOut]:
    by_id = {task.id: task for task in session.scalars(select(Task).where(Task.id.in_([one.task_id for one in found])))}
    renditions = images.renditions_of(session, [one.id for one in found])
    return [
        ImageOut(
            id=one.id,
            task_id=one.task_id,
            file_name=one.file_name,
            alt=one.alt,
            format=one.format,
            is_animated=one.is_animated,
            width=one.width,
            height=one.height,
            byte_count=one.byte_count,
            state=images.state_of(by_id[one.task_id]),
            error=images.failure_of(by_id[one.task_id]),
            renditions=[_rendition(one, each, settings) for each in renditions[one.id]],
            created_at=one.created_at,
        )
        for one in found
    ]


def _rendition(one: Image, each: Rendition, settings: Settings) -> RenditionOut:
    return RenditionOut(
        width=each.width,
        height=each.height,
        media_type=MEDIA_TYPES[each.extension],
        byte_count=each.byte_count,
        url=url_of(one, each, settings),
        tag=tag_of(one, each, settings),
    )
