"""The HTML of a mail for the inbox's frame: images come from the mail itself."""

import base64
import re
from urllib.parse import unquote

from email_campaign.content.frame import Theme, framed
from email_campaign.local.inbox.reading import Readable

MAX_INLINE_BYTES = 5 * 1024 * 1024
"""Images that a mail shows from its own parts, in all: they travel as data: URLs within the page."""


def for_frame(readable: Readable, theme: Theme = "light") -> str:
    """The page in the frame."""
    images = {part.content_id: part for part in readable.attachments if part.media_type.startswith("image/")}
    budget = MAX_INLINE_BYTES

    def inline(found: re.Match[str]) -> str:
        nonlocal budget
        part = images.get(unquote(found[1]).replace("&amp;", "&"))
        if part is None or len(part.content) > budget or not re.fullmatch(r"[\w.+/-]+", part.media_type):
            return found[0]
        budget -= len(part.content)
        return f"data:{part.media_type};base64,{base64.b64encode(part.content).decode()}"

    return re.sub(r"""\bcid:([^"'\s)>]+)""", inline, framed(readable.html or "", theme), flags=re.IGNORECASE)
