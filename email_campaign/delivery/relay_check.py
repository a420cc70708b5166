"""Relay check: open a connection as the send processes do, and say in words what came of it."""

import asyncio
import time
from dataclasses import dataclass, replace

from email_campaign.delivery.smtp import ConnectFailed, Connection, RelayTarget

PATIENCE_SECONDS = 10.0
"""A person waits for the answer; sending itself is more patient."""


@dataclass(frozen=True, slots=True)
class RelayCheck:
    """What came of it. `credentials_refused`: the relay is there and wants another name, password or TLS."""

    works: bool
    message: str
    seconds: float
    credentials_refused: bool = False


def check_relay(target: RelayTarget) -> RelayCheck:
    """Connect, secure, sign in, say good-bye. No mail is sent. Takes up to 10 s: call it without a transaction."""
    began = time.monotonic()
    timeouts = replace(target.timeouts, connect=min(target.timeouts.connect, PATIENCE_SECONDS))
    where = f"{target.host}:{target.port}"
    try:
        asyncio.run(_open_and_quit(replace(target, timeouts=timeouts)))
    except ConnectFailed as error:
        said = str(error).rstrip(".")
        words = f"{where} refuses our credentials: {said}." if error.credentials_refused else f"{where}: {said}."
        return RelayCheck(False, words, time.monotonic() - began, error.credentials_refused)
    except TimeoutError:
        return RelayCheck(False, f"{where} did not answer within {PATIENCE_SECONDS:g} s.", time.monotonic() - began)
    how = {"tls": "over TLS", "starttls": "secured by STARTTLS"}.get(target.security, "without encryption")
    signed_in = f", signed in as {target.username}" if target.username else ""
    return RelayCheck(True, f"{where} answers, {how}{signed_in}.", time.monotonic() - began)


async def _open_and_quit(target: RelayTarget) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        connection = await Connection.open(target)
        await connection.quit()
