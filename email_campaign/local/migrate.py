"""Bring the database to this release's schema."""

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from email_campaign.local.places import CHECKOUT
from email_campaign.settings import Settings


def migrate(settings: Settings) -> None:
    """Upgrade to the newest schema. Safe to repeat; two at once run one after the other, and after a backup's end."""
    config = _config()
    config.attributes["url"] = settings.database_url
    command.upgrade(config, "head")


def script() -> ScriptDirectory:
    """Every revision of the schema that this release knows."""
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    return Config(str(CHECKOUT / "alembic.ini"))
