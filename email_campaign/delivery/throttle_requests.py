"""How many requests an API token may make: counted for all web processes in the limiter's Redis, open without it."""

import logging
import time
from dataclasses import dataclass

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from email_campaign.delivery.throttle import KEY_PREFIX

WINDOW_SECONDS = 60
ANSWER_SECONDS = 0.25
"""An answer of the API does not wait longer for leave than it mostly takes itself."""
LEFT_ALONE_SECONDS = 5.0
"""A broker that did not answer is not asked again for so long, else every request would wait for it."""

# The window begins with a token's first request; a key without an end would shut the token out for ever.
COUNT = """
local count = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {count, left}
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left of a minute's requests after this one, and when the next minute begins."""

    limit: int
    remaining: int
    reset_seconds: float
    is_exceeded: bool


class RequestLimit:
    """So many requests a minute and token; one for the whole web process, for all its threads."""

    def __init__(self, redis_url: str, per_minute: int) -> None:
        self._per_minute = per_minute
        self._client = redis.Redis.from_url(
            redis_url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),  # a connection that was cut while idle is no outage
        )
        self._script = self._client.register_script(COUNT)
        self._asked_again_at = 0.0

    def count(self, token: str) -> Quota | None:
        """Count a request of the token that goes by this name. None: nothing is limited, or nobody can say.

        Never raises for a broken broker: what is being sent is limited elsewhere, and the API stays open.
        """
        if not self._per_minute or time.monotonic() < self._asked_again_at:
            return None
        try:
            count, left = self._script(keys=[f"{KEY_PREFIX}requests:{token}"], args=[WINDOW_SECONDS * 1000])
        except (RedisError, OSError) as error:
            self._asked_again_at = time.monotonic() + LEFT_ALONE_SECONDS
            _log.warning("Requests of the API are not limited, since the broker does not answer (%r).", error)
            return None
        remaining = max(self._per_minute - count, 0)
        return Quota(self._per_minute, remaining, left / 1000, is_exceeded=count > self._per_minute)

    def close(self) -> None:
        """Close the connections to the broker."""
        self._client.close()
