"""API: how the file of an import is read, before it is imported."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from email_campaign.audience import import_drafts as drafts
from email_campaign.audience import imports
from email_campaign.audience.import_mapping import ENCODINGS, check_reading
from email_campaign.audience.import_preview import columns_of, propose, sample
from email_campaign.audience.imports import Import
from email_campaign.errors import Invalid
from email_campaign.settings import Settings
from email_campaign.web.deps import PathId, SessionDep, SettingsDep

router = APIRouter(prefix="/imports", tags=["imports"])

MAX_COLUMNS = 16_384
"""As many as a sheet of a spreadsheet has."""


class MappingIn(BaseModel):
    """How a file is read; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    delimiter: Annotated[str | None, Field(description="Comma, semicolon, tab or bar.", examples=[";"])] = None
    encoding: Annotated[str | None, Field(description="One of: " + ", ".join(ENCODINGS), examples=["windows-1252"])] = (
        None
    )
    has_header: Annotated[bool | None, Field(description="Whether the first row names the columns.")] = None
    columns: Annotated[
        list[Annotated[str, Field(max_length=200)]] | None,
        Field(
            max_length=MAX_COLUMNS,
            description="What each column becomes, in the order of the file: `address`, `name`, `first name`, "
            "`last name`, an attribute's name, or an empty text for one that is left out, as are those not given.",
            examples=[["address", "name", "city", ""]],
        ),
    ] = None


class MappingOut(BaseModel):
    """How a file is read, and its first rows under that."""

    delimiter: Annotated[str, Field(examples=[";"])]
    encoding: Annotated[str, Field(examples=["utf-8"])]
    has_header: bool
    columns: Annotated[list[str], Field(description="What each column becomes.", examples=[["address", "name", ""]])]
    names: list[str] = Field(description="What the header calls each column; empty texts without a header.")
    rows: list[list[str]] = Field(
        description="The first rows, each cell cut to 80 characters; none once it was started."
    )


@router.get("/{import_id}/mapping")
def show_mapping(session: SessionDep, settings: SettingsDep, import_id: PathId) -> MappingOut:
    """How the file of a draft is read: what was found out or chosen, with the first rows. 409 for one without."""
    return _shown_mapping(session, imports.get_import(session, import_id), settings)


@router.patch("/{import_id}/mapping")
def change_mapping(session: SessionDep, settings: SettingsDep, import_id: PathId, given: MappingIn) -> MappingOut:
    """Choose how the file of a draft is read. Without `columns` they are proposed anew where the reading changes."""
    changed = remap(session, imports.get_import(session, import_id), given, settings)
    shown = _shown_mapping(session, changed, settings)
    session.commit()
    return shown


def mapping_of_form(text: object) -> MappingIn:
    """The mapping that came as JSON in a form. Raises Invalid."""
    try:
        return MappingIn.model_validate_json(text if isinstance(text, str) else "")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Invalid.field(
            "mapping", f"The mapping is JSON with the fields of its page: {place} {first['msg']}"
        ) from error


def remap(session: Session, draft: Import, given: MappingIn, settings: Settings) -> Import:
    """Change the mapping of a draft; its columns are proposed anew where the file is read in another way."""
    before = drafts.mapping_of(draft)
    chosen = replace(before, **given.model_dump(exclude_none=True))
    check_reading(chosen.delimiter, chosen.encoding)
    if given.columns is None and not chosen.reads_as(before):
        chosen = propose(session, draft.id, chosen, settings)
    return drafts.change_mapping(session, draft.id, chosen)


def _shown_mapping(session: Session, draft: Import, settings: Settings) -> MappingOut:
    mapping = drafts.mapping_of(draft)
    if draft.task_id is not None:
        return MappingOut(**mapping.to_json(), names=[], rows=[])
    columns = columns_of(sample(session, draft.id, mapping, settings), mapping)
    return MappingOut(
        delimiter=mapping.delimiter,
        encoding=mapping.encoding,
        has_header=mapping.has_header,
        columns=[column.becomes for column in columns],
        names=[column.header for column in columns],
        rows=[list(row) for row in zip(*(column.cells for column in columns), strict=True)],
    )
