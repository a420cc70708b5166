"""Where a mail finds an image, and the tag that shows it there."""

from collections.abc import Sequence
from html import escape

from email_campaign.media.images import Image, Rendition
from email_campaign.settings import Settings

ADDRESS = "/media"
"""Below this web serves stored files to everybody."""
MAIL_WIDTH = 600
"""What mails are commonly laid out for: no image is shown wider, and a larger one makes it sharp there."""


def url_of(image: Image, rendition: Rendition, settings: Settings) -> str:
    """Absolute, for recipients."""
    return f"{settings.media_base_url or settings.public_url + ADDRESS}/{rendition.key(image)}"


def tag_of(image: Image, rendition: Rendition, settings: Settings) -> str:
    """An `<img>` that mail programs show well: with its size, before it is loaded; narrower where the screen is."""
    width = min(rendition.width, MAIL_WIDTH)
    height = max(1, round(rendition.height * width / rendition.width))
    # A brace would be read as the template's own.
    alt = escape(image.alt).replace("{", "&#123;").replace("}", "&#125;")
    return (
        f'<img src="{escape(url_of(image, rendition, settings))}" width="{width}" height="{height}" alt="{alt}" '
        'style="display: block; max-width: 100%; height: auto; border: 0">'
    )


def proposed(renditions: Sequence[Rendition]) -> Rendition:
    """The one to put into a mail when nobody says otherwise: the widest that is no wider than a mail."""
    fitting = [one for one in renditions if one.width <= MAIL_WIDTH]
    return fitting[-1] if fitting else renditions[0]
