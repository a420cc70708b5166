"""Content versions: what was said, frozen at launch and never changed afterwards."""

from sqlalchemy import Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

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
