"""Content versions: what was said, frozen at launch and never changed afterwards."""

import hashlib
from collections.abc import Sequence

from sqlalchemy import BigInteger, Text, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.content.attachments import Attachment
from email_campaign.content.language import compile_content
from email_campaign.db import Base, BigId, CreatedAt


class ContentVersion(Base):
    """Subject, HTML and text of a mailing, with the variables that they name, and its attachments. Found again by the
    hash of all that is said and attached."""

    __tablename__ = "content_versions"

    id: Mapped[BigId]
    sha256: Mapped[bytes] = mapped_column(unique=True)
    subject: Mapped[str]
    html: Mapped[str]
    text: Mapped[str]
    variables: Mapped[list[str]] = mapped_column(ARRAY(Text))
    attachment_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default="{}")
    created_at: Mapped[CreatedAt]


def freeze(
    session: Session, subject: str, html: str, text: str, attachments: Sequence[Attachment] = ()
) -> ContentVersion:
    """The version with exactly these words and attachments, made if need be. Raises Invalid when the words do not
    compile."""
    words = b"".join(len(part.encode()).to_bytes(8) + part.encode() for part in (subject, html, text))
    digest = hashlib.sha256(words + b"".join(one.sha256 for one in attachments)).digest()
    made = insert(ContentVersion).values(
        sha256=digest,
        subject=subject,
        html=html,
        text=text,
        variables=sorted(compile_content(subject, html, text).variables),
        attachment_ids=[one.id for one in attachments],
    )
    session.execute(made.on_conflict_do_nothing(index_elements=[ContentVersion.sha256]))
    return session.scalars(select(ContentVersion).where(ContentVersion.sha256 == digest)).one()
