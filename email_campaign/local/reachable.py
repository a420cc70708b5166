"""Are the database and the broker that were set by hand there, and recent enough?"""

import psycopg
import redis

from email_campaign.local.programs import StartFailed
from email_campaign.settings import Settings

POSTGRES_MINIMUM = 16
REDIS_MINIMUM = (6, 2)


def check_database(settings: Settings) -> None:
    """Raise StartFailed with one sentence unless Postgres answers and is recent enough."""
    url = settings.database_url.replace("postgresql+psycopg:", "postgresql:", 1)
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            major = connection.info.server_version // 10_000
    except psycopg.Error as error:
        msg = f"The database of DATABASE_URL cannot be reached: {_one_line(error)}."
        raise StartFailed(msg) from error
    if major < POSTGRES_MINIMUM:
        msg = f"DATABASE_URL leads to Postgres {major}; {POSTGRES_MINIMUM} or later is needed."
        raise StartFailed(msg)


def check_redis(settings: Settings) -> None:
    """Raise StartFailed with one sentence unless Redis answers and is recent enough."""
    try:
        with redis.Redis.from_url(settings.redis_url, socket_connect_timeout=5, socket_timeout=5) as client:
            version = str(client.info("server")["redis_version"])
    except (redis.RedisError, ValueError) as error:
        msg = f"The broker of REDIS_URL cannot be reached: {_one_line(error)}."
        raise StartFailed(msg) from error
    if tuple(int(part) for part in version.split(".")[:2]) < REDIS_MINIMUM:
        msg = f"REDIS_URL leads to Redis {version}; 6.2 or later, or Valkey, is needed."
        raise StartFailed(msg)


def _one_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
