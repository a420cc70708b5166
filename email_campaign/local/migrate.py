"""Bring the database to this release's schema."""

from alembic import command
from alembic.config import Config

from email_campaign.local.places import CHECKOUT
from email_campaign.settings import Settings


def migrate(settings: Settings) -> None:
    """Upgrade to the newest schema. Safe to repeat; two at once run one after the other."""
    config = Config(str(CHECKOUT / "alembic.ini"))
    config.attributes["url"] = settings.database_url
    command.upgrade(config, "head")
