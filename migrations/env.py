"""Alembic's entry: every model is imported here, so that autogenerate and the drift test see all tables."""

import time

from alembic import context
from psycopg.errors import DeadlockDetected
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import OperationalError

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
import email_campaign.campaigns.failure_mail
import email_campaign.campaigns.mailings
import email_campaign.content.templates
import email_campaign.content.versions
import email_campaign.delivery.attempts
import email_campaign.delivery.deliveries
import email_campaign.delivery.relays
import email_campaign.delivery.windows
import email_campaign.delivery.workers
import email_campaign.media.images
import email_campaign.reports.scheduled.report
import email_campaign.reports.scheduled.schedules
import email_campaign.tasks.idempotency
import email_campaign.tasks.signs
import email_campaign.tasks.tasks  # noqa: F401 – like all above: imported for its tables
from email_campaign.db import MIGRATION_LOCK, Base
from email_campaign.settings import get_settings

TRIES = 10
PAUSE_SECONDS = 1.0


def run() -> None:
    """Migrate the database of `config.attributes["url"]`, or of the settings, each revision in its own transaction.

    Two processes that start at once migrate one after the other; while a backup is being made, both wait. While mail is
    sent, a revision that wants several tables alone may meet a deadlock: nothing of it was done, and it is tried again.
    """
    url = context.config.attributes.get("url") or get_settings().database_url
    # Without a pool a connection ends with its block, also after an error, and lets go of the lock.
    with create_engine(url, poolclass=NullPool).connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
        connection.commit()
        for is_last in [*[False] * (TRIES - 1), True]:
            try:
                _migrate(connection)
            except OperationalError as error:
                connection.rollback()
                if is_last or not isinstance(error.orig, DeadlockDetected):
                    raise
                time.sleep(PAUSE_SECONDS)
            else:
                return


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_server_default=False,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
