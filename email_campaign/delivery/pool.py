"""The open connections of a send process: bounded, kept between mails, renewed before the relay gets tired of them."""

import asyncio
from dataclasses import dataclass

from email_campaign.delivery.connect import RelayTarget, open_connection
from email_campaign.delivery.places import Places
from email_campaign.delivery.smtp import Connection


@dataclass(frozen=True, slots=True)
class PoolRules:
    """How many connections, and how long one is kept (relays cap both mails and time)."""

    connections: int
    messages: int
    seconds: float
    idle_seconds: float


class Pool:
    """Connections to one relay. A borrowed connection comes back only when nothing unexpected happened on it."""

    def __init__(self, target: RelayTarget, rules: PoolRules) -> None:
        self._target = target
        self._rules = rules
        self._idle: list[Connection] = []
        self.places = Places(rules.connections)
        self.open_count = self.opened_count = self.dropped_count = 0

    @property
    def has_idle(self) -> bool:
        """Whether a connection is open and waits for a mail."""
        return any(connection.is_open for connection in self._idle)

    @property
    def idle_count(self) -> int:
        """Connections that wait for a mail."""
        return len(self._idle)

    async def take(self) -> Connection:
        """A connection that can carry a mail, opened if need be. Raises connect.ConnectFailed."""
        while self._idle:
            connection = self._idle.pop()
            if self.may_keep(connection):
                return connection
            await self._retire(connection)
        connection = await open_connection(self._target)
        self.open_count += 1
        self.opened_count += 1
        return connection

    def may_keep(self, connection: Connection) -> bool:
        """Whether another mail may go over this connection, or it is time for a new one."""
        return connection.is_open and not self._is_worn(connection)

    async def give_back(self, connection: Connection) -> None:
        """Keep it for the next mail, retire it when it is closed or worn, drop it when its mail was broken off."""
        if not connection.is_between_mails:
            self.drop(connection, "broken off within a mail")
        elif self.may_keep(connection):
            self._idle.append(connection)
        else:
            await self._retire(connection)

    def drop(self, connection: Connection, why: str) -> None:
        """Close at once: what happened on it was not expected."""
        connection.abort(why)
        self.open_count -= 1
        self.dropped_count += 1

    async def close_idle(self) -> None:
        """Retire the connections that nobody used for a while; called with every beat."""
        now = asyncio.get_running_loop().time()
        worn = [c for c in self._idle if not c.is_open or now - c.used_at > self._rules.idle_seconds]
        self._idle = [c for c in self._idle if c not in worn]
        await asyncio.gather(*(self._retire(connection) for connection in worn))

    async def close(self) -> None:
        """Retire all idle connections."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(self._retire(connection) for connection in idle))

    def _is_worn(self, connection: Connection) -> bool:
        now = asyncio.get_running_loop().time()
        return (
            connection.message_count >= self._rules.messages
            or now - connection.opened_at > self._rules.seconds
            or now - connection.used_at > self._rules.idle_seconds
        )

    async def _retire(self, connection: Connection) -> None:
        self.open_count -= 1
        await connection.quit()
