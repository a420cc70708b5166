"""The database: declarative base, engine, sessions and the column types that every table shares."""

import enum
from datetime import datetime
from functools import cache
from typing import Annotated, Any

from sqlalchemy import BigInteger, DateTime, Engine, Enum, Identity, MetaData, create_engine, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError  # noqa: A004 – the pool's
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column, sessionmaker

from email_campaign.settings import Settings, get_settings

SessionFactory = sessionmaker[Session]

DATABASE_AWAY = (OperationalError, InterfaceError, TimeoutError)
"""What is raised where the database does not answer, or no connection of the pool comes free."""

IDLE_IN_TRANSACTION_SECONDS = 10
"""A stopped process must not hold a lock that a pause is waiting for."""

MIGRATION_LOCK = 0x6D6967
"""An advisory lock: a migration holds it alone, a backup shares it, a restore takes it for its transaction."""

BigId = Annotated[int, mapped_column(BigInteger, Identity(), primary_key=True)]
Json = Annotated[dict[str, Any], mapped_column(JSONB)]
CreatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]


class Base(DeclarativeBase):
    """Parent of every table. Tables are plural, classes singular; times are timestamptz in UTC."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: DateTime(timezone=True), int: BigInteger, dict[str, Any]: JSONB}  # noqa: RUF012 – SQLAlchemy's own spelling


def text_enum(states: type[enum.StrEnum]) -> Enum:
    """A column type for an enum that is stored as its plain text values."""
    return Enum(states, native_enum=False, length=16, values_callable=lambda members: [str(m) for m in members])


def make_engine(settings: Settings, *, pool_size: int = 10) -> Engine:
    """An engine whose connections answer in UTC, give up on a dead server soon and never idle in a transaction."""
    return create_engine(
        settings.database_url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        pool_recycle=1800,
        hide_parameters=True,  # what an error says stands in logs, where no value of a row has a place
        connect_args={
            "connect_timeout": 5,
            # A Postgres that vanished without a word (a cable, a frozen machine) is given up after some 20 s.
            "keepalives_idle": 5,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
            "application_name": "email-campaign",
            "options": f"-c timezone=UTC -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_SECONDS}s",
        },
    )


@cache
def session_factory() -> SessionFactory:
    """This process's session factory, made at first use (so after a fork, never before)."""
    return sessionmaker(make_engine(get_settings()), expire_on_commit=False)
