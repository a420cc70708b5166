"""Where an image is used: templates and launched campaigns whose words name one of its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session

from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import Mailing
from email_campaign.content.templates import Template
from email_campaign.content.versions import ContentVersion
from email_campaign.media.images import Image

SHOWN = 20
"""So many of each are named; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Uses:
    """The newest of each kind, and how many there are. The words of what was launched are frozen: its mails keep the
    address for good."""

    templates: Sequence[Template]
    template_count: int
    launched: Sequence[Campaign]
    launched_count: int

    def __bool__(self) -> bool:
        return bool(self.template_count or self.launched_count)


def uses_of(session: Session, image: Image) -> Uses:
    """Whoever has the name of its files, which no other image has, in HTML or text. Archived templates count, too."""
    templates = select(Template).where(_names(image, Template.html, Template.text))
    launched = (
        select(Campaign)
        .join(Mailing, Mailing.id == Campaign.id)
        .join(ContentVersion, ContentVersion.id == Mailing.content_version_id)
        .where(_names(image, ContentVersion.html, ContentVersion.text))
    )
    return Uses(
        templates=session.scalars(templates.order_by(Template.id.desc()).limit(SHOWN)).all(),
        template_count=_count(session, templates.with_only_columns(Template.id)),
        launched=session.scalars(launched.order_by(Campaign.id.desc()).limit(SHOWN)).all(),
        launched_count=_count(session, launched.with_only_columns(Campaign.id, maintain_column_froms=True)),
    )


def _names(image: Image, *columns: Any) -> ColumnElement[bool]:
    return or_(*(column.contains(image.stem, autoescape=True) for column in columns))


def _count(session: Session, statement: Select[Any]) -> int:
    return session.scalar(select(func.count()).select_from(statement.subquery())) or 0
