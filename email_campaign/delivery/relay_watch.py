"""What a send process knows of its relay: whether to open connections, and what it tells the others through its row."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta

from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery import holds, relays, slowing
from email_campaign.delivery.holds import Hold
from email_campaign.delivery.relays import Relay
from email_campaign.delivery.slowing import Complaint
from email_campaign.settings import Settings

log = logging.getLogger(__name__)

PASSING_SECONDS = 60.0
EPOCH = datetime.fromtimestamp(0, UTC)


class RelayWatch:
    """Lives in the loop of its process, but for the two methods that hear of the row. The database is asked aside."""

    def __init__(
        self,
        factory: SessionFactory,
        settings: Settings,
        relay_id: int,
        background: Callable[[Coroutine[None, None, None]], None],
        read_limits: Callable[[], Awaitable[None]],
    ) -> None:
        """`background` carries on what nobody waits for; `read_limits` is called when the relay was slowed."""
        self._factory = factory
        self._settings = settings
        self._relay_id = relay_id
        self._background = background
        self._read_limits = read_limits
        self._is_failing = True
        self._success_noted = False
        self._away_until: datetime | None = None
        self._probe_until = EPOCH
        self._passed_at = self._complained_at = -math.inf

    async def failed(self, error: str, *, credentials_refused: bool) -> Hold:
        """Keep away from the relay for a while; pause it when it refuses our credentials."""
        self._is_failing, self._success_noted = True, False
        try:
            until = await asyncio.to_thread(self._note_failure, error, credentials_refused)
        except Exception:
            # A run that ended here would leave its other copies without a result.
            log.exception("the relay's failure could not be noted")
            until = utc_now() + timedelta(seconds=self._settings.relay_retry_seconds[0])
        self._away_until, self._probe_until = until, EPOCH
        return Hold("relay", until)

    def hold(self) -> Hold | None:
        """Until when no connection is opened, since the relay failed just now. Afterwards one is tried at a time."""
        now = utc_now()
        if self._away_until is None:
            return None
        if self._away_until > now:
            return Hold("relay", self._away_until)
        if self._probe_until > now:
            return Hold("relay", now + timedelta(seconds=self._settings.relay_retry_seconds[0]))
        self._probe_until = now + timedelta(seconds=self._settings.smtp_connect_timeout_seconds)
        return None

    def answers(self) -> None:
        """A connection was opened: forget the relay's failures, once."""
        if self._is_failing:
            self._is_failing, self._away_until = False, None
            self._background(self._forget_failures())

    def mail_passed(self) -> None:
        """It took a mail: it is well."""
        self._passed_at = time.monotonic()
        self.answers()
        if not self._success_noted:
            self._success_noted = True
            self._background(self._praise())

    def mail_passes(self) -> bool:
        """Whether it was well within the last minute."""
        return time.monotonic() - self._passed_at < PASSING_SECONDS

    def complains(self, complaint: Complaint) -> None:
        """It says that it is too much: slow it for all workers, unless this process did so a moment ago."""
        now = time.monotonic()
        if now - self._complained_at >= self._settings.relay_slow_seconds[0] / 2:
            self._complained_at = now
            self._background(self._slow(complaint))

    def hear_at_the_beat(self, row: Relay) -> None:
        """What the others found out: with every beat."""
        if row.failure_count:
            self._is_failing = True  # another process met it, and may not live to see it end
        else:
            self._away_until = None  # it answered another process meanwhile

    def hear_with_the_limits(self, row: Relay) -> None:
        """What people and others decided: whenever the limits are read."""
        if not row.failure_count:
            self._away_until = None  # it answered somebody else meanwhile
        elif self._away_until and row.retry_at and row.retry_at < self._away_until:
            self._away_until = row.retry_at  # somebody wants it tried sooner

    async def _slow(self, complaint: Complaint) -> None:
        try:
            if await asyncio.to_thread(self._note_complaint, complaint):
                await self._read_limits()
        except Exception:
            log.exception("the relay's complaint could not be noted")

    async def _praise(self) -> None:
        try:
            await asyncio.to_thread(self._note_success)
        except Exception:
            self._success_noted = False  # the next mail tries again
            log.exception("the relay's success could not be noted")

    async def _forget_failures(self) -> None:
        try:
            await asyncio.to_thread(self._note_answer)
        except Exception:
            self._is_failing = True  # the next connection tries again
            log.exception("the relay's recovery could not be noted")

    def _note_failure(self, error: str, credentials_refused: bool) -> datetime:
        with self._factory.begin() as session:
            if credentials_refused:
                relays.pause(session, self._relay_id, f"The relay refuses our credentials: {error}")
            now = utc_now()
            return relays.note_failure(
                session, self._relay_id, error, waits=self._settings.relay_retry_seconds, now=now
            )

    def _note_complaint(self, complaint: Complaint) -> bool:
        with self._factory.begin() as session:
            waits = self._settings.relay_slow_seconds
            return slowing.note_complaint(session, self._relay_id, complaint, waits, utc_now())

    def _note_success(self) -> None:
        with self._factory.begin() as session:
            relays.note_success(session, self._relay_id, utc_now())

    def _note_answer(self) -> None:
        with self._factory.begin() as session:
            relays.note_answer(session, self._relay_id)
            holds.release(session, "relay")
