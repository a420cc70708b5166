"""Alembic's entry: every model is imported here, so that autogenerate and the drift test see all tables."""

from alembic import context
from sqlalchemy import create_engine

import email_campaign.accounts.resets
import email_campaign.accounts.sessions
import email_campaign.accounts.throttle
import email_campaign.accounts.tokens
import email_campaign.accounts.users
import email_campaign.audience.contacts
import email_campaign.audience.import_files
import email_campaign.audience.imports
import email_campaign.audience.lists
import email_campaign.audience.subscriptions
import email_campaign.audience.suppressions
import email_campaign.audience.welcomes
import email_campaign.campaigns.campaigns
import email_campaign.campaigns.mailings
import email_campaign.content.templates
import email_campaign.content.versions
import email_campaign.delivery.attempts
import email_campaign.delivery.deliveries
import email_campaign.delivery.relays
import email_campaign.delivery.windows
import email_campaign.delivery.workers
import email_campaign.tasks.idempotency
import email_campaign.tasks.signs
import email_campaign.tasks.tasks  # noqa: F401 – like all above: imported for its tables
from email_campaign.db import MIGRATION_LOCK, Base
from email_campaign.settings import get_settings


def run() -> None:
    """Migrate the database of `config.attributes["url"]`, or of the settings.

    Two processes that start at once migrate one after the other; while a backup is being made, both wait.
    """
    url = context.config.attributes.get("url") or get_settings().database_url
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
        connection.commit()
        context.configure(connection=connection, target_metadata=Base.metadata, compare_server_default=False)
        with context.begin_transaction():
            context.run_migrations()
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({MIGRATION_LOCK})")
        connection.commit()
    engine.dispose()


run()
