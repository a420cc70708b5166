"""What the demo says: a newsletter of the kind that people really get, in two parts."""

from email_campaign.local.places import CHECKOUT

FOLDER = CHECKOUT / "templates" / "mail"

FROM_NAME = "The Seed Library"
SUBJECT = '{{ name|default("Hello") }}, your spring seeds are packed'


def html() -> str:
    """The HTML part, in the language of templates."""
    return (FOLDER / "demo.html").read_text()


def text() -> str:
    """The text part, likewise."""
    return (FOLDER / "demo.txt").read_text()
