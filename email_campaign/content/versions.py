"""Content versions: what was said, frozen at launch and never changed afterwards."""

import hashlib

from sqlalchemy import Text, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.content.language import compile_content
from email_campaign.db import Base, BigId, CreatedAt


class ContentVersion(Base):
    """Subject, HTML and text of a mailing, with the variables that they name. Found again by the hash of all three."""

    __tablename__ = "content_versions"

    id: Mapped[BigId]
    sha256: Mapped[bytes] = mapped_column(unique=True)
    subject: Mapped[str]
    html: Mapped[str]
    text: Mapped[str]
    variables: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[CreatedAt]


def freeze(session: Session, subject: str, html: str, text: str) -> ContentVersion:
    """The version with exactly these words, made if need be. Raises Invalid when they do not compile."""
    digest = hashlib.sha256(b"".join(len(p.encode()).to_bytes(8) + p.encode() for p in (subject, html, text))).digest()
    variables = sorted(compile_content(subject, html, text).variables)
    made = insert(ContentVersion).values(sha256=digest, subject=subject, html=html, text=text, variables=variables)
    session.execute(made.on_conflict_do_nothing(index_elements=[ContentVersion.sha256]))
    return session.scalars(select(ContentVersion).where(ContentVersion.sha256 == digest)).one()
