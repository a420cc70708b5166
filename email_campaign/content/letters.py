"""Letters: the service's own mails, which stand in files with one frame and are frozen like any other content."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.orm import Session

from email_campaign.content.attachments import Attachment
from email_campaign.content.versions import ContentVersion, freeze

MAIL_DIR = Path(__file__).parents[2] / "templates" / "mail"

# All letters have one frame. It is laid around each with brackets for braces, when the file is read: what stands in
# braces is left as it is, for the recipient, and a frozen version needs no other file.
_FRAMES = Environment(
    loader=FileSystemLoader(MAIL_DIR),
    block_start_string="[%",
    block_end_string="%]",
    variable_start_string="[[",
    variable_end_string="]]",
    comment_start_string="[#",
    comment_end_string="#]",
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701 – both sides are files of ours; what people give comes in braces, and is escaped
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def freeze_letter(session: Session, name: str, attachments: Sequence[Attachment] = ()) -> ContentVersion:
    """The version with the words of `templates/mail/<name>.html` and `.txt`, whose first line is the subject, and these
    attachments (from `attachments.keep`)."""
    return freeze(session, *_words(name), attachments)


@cache
def _words(name: str) -> tuple[str, str, str]:
    """Subject, HTML and text of a letter in its frame."""
    subject, _, text = _FRAMES.get_template(f"{name}.txt").render().partition("\n")
    return subject, _FRAMES.get_template(f"{name}.html").render(), text.lstrip("\n")
