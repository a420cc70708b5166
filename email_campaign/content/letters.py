"""Letters: the words of the service's own mails, which stand in files and are frozen like any other content."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from sqlalchemy.orm import Session

from email_campaign.content.attachments import Attachment
from email_campaign.content.versions import ContentVersion, freeze

MAIL_DIR = Path(__file__).parents[2] / "templates" / "mail"


def freeze_letter(session: Session, name: str, attachments: Sequence[Attachment] = ()) -> ContentVersion:
    """The version with the words of `templates/mail/<name>.html` and `.txt`, whose first line is the subject, and these
    attachments (from `attachments.keep`)."""
    return freeze(session, *_words(name), attachments)


@cache
def _words(name: str) -> tuple[str, str, str]:
    subject, _, text = (MAIL_DIR / f"{name}.txt").read_text().partition("\n")
    return subject, (MAIL_DIR / f"{name}.html").read_text(), text.lstrip("\n")
