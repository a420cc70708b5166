"""API: the files that a campaign carries: listed, uploaded, read, taken off."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import FormData, UploadFile

from email_campaign.campaigns import attaching, campaigns
from email_campaign.campaigns.campaigns import draft_of
from email_campaign.content.attachments import attachments_of
from email_campaign.errors import Invalid
from email_campaign.web import written
from email_campaign.web.deps import ApiUser, NowDep, PathId, SessionDep, SettingsDep
from email_campaign.web.downloads import attached_file
from email_campaign.web.etags import TAGGED, IfMatchDep, set_etag
from email_campaign.web.idempotency import OnceDep

router = APIRouter(prefix="/campaigns/{campaign_id}/attachments", tags=["campaigns"])

FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "description": "The file as it was brought, and never of a type that a browser would open.",
    }
}
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
                            "description": "Its name is what readers see, and its ending decides the type. Programs "
                            "and other kinds that relays refuse are not taken.",
                        }
                    },
                }
            }
        },
    }
}


class AttachmentOut(BaseModel):
    """A file that goes with every copy."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: Annotated[str, Field(examples=["prices.pdf"])]
    media_type: Annotated[str, Field(examples=["application/pdf"])]
    size: Annotated[int, Field(description="Bytes; in the mail they are 1.37 times as many.", examples=[482_100])]


async def _uploaded(request: Request, _user: ApiUser) -> AsyncIterator[FormData]:
    """The form, read only after the token was found good: a stranger's file never reaches the disk."""
    async with request.form(max_files=1, max_fields=10) as form:
        yield form


@router.get("", responses=TAGGED)
def list_attachments(session: SessionDep, campaign_id: PathId, response: Response) -> list[AttachmentOut]:
    """The files in the order in which they stand in the mail. The ETag is the campaign's."""
    campaign = campaigns.get(session, campaign_id)
    set_etag(response, written.campaign(draft_of(campaign)))
    return [AttachmentOut.model_validate(one) for one in attachments_of(session, campaign.attachment_ids)]


@router.post("", status_code=201, openapi_extra=UPLOAD)
def attach_file(
    session: SessionDep,
    settings: SettingsDep,
    now: NowDep,
    if_match: IfMatchDep,
    form: Annotated[FormData, Depends(_uploaded)],
    once: OnceDep,
    campaign_id: PathId,
) -> AttachmentOut:
    """Let a campaign that was not launched carry one more file. The same file twice is carried once."""
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise Invalid.field("file", "Send the file as the field `file` of a multipart form.")
    if_match.check(written.campaign(draft_of(campaigns.get_locked(session, campaign_id))))
    try:
        one = attaching.bring(session, file.filename or "", file.file, file.size or 0, settings)
    except Invalid as error:
        raise Invalid.field("file", error.message) from error
    changed = attaching.attach(session, campaign_id, one, settings, now)
    answer = AttachmentOut.model_validate(one)
    once.keep(201, answer)
    session.commit()
    if_match.answer(written.campaign(draft_of(changed)))
    return answer


@router.get("/{attachment_id}", response_class=Response, responses=FILE)
def download_attachment(session: SessionDep, campaign_id: PathId, attachment_id: PathId) -> Response:
    """The file itself."""
    return attached_file(attaching.find(session, campaigns.get(session, campaign_id), attachment_id))


@router.delete("/{attachment_id}", status_code=204)
def detach_file(
    session: SessionDep, now: NowDep, if_match: IfMatchDep, campaign_id: PathId, attachment_id: PathId
) -> None:
    """Take a file off a campaign that was not launched."""
    if_match.check(written.campaign(draft_of(campaigns.get_locked(session, campaign_id))))
    changed = attaching.detach(session, campaign_id, attachment_id, now)
    session.commit()
    if_match.answer(written.campaign(draft_of(changed)))
