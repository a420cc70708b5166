"""Opening a connection to the relay: aiosmtplib connects, secures and signs in, then our own protocol takes over."""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from typing import Self, cast

import aiosmtplib

from email_campaign.delivery.smtp import Connection, Timeouts
from email_campaign.settings import Settings


@dataclass(frozen=True, slots=True)
class RelayTarget:
    """Where a relay is and how it is entered."""

    host: str
    port: int
    security: str
    username: str
    password: str
    helo_name: str
    timeouts: Timeouts

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The relay that the settings name."""
        return cls(
            host=settings.smtp_host,
            port=settings.smtp_port,
            security=settings.smtp_security,
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value(),
            helo_name=settings.smtp_helo_name or socket.gethostname(),
            timeouts=Timeouts(
                connect=settings.smtp_connect_timeout_seconds,
                command=settings.smtp_command_timeout_seconds,
                final_dot=settings.smtp_final_dot_timeout_seconds,
            ),
        )


class ConnectFailed(Exception):
    """No usable connection. After `credentials_refused` trying again is pointless (RFC 4954: 530, 534, 535, 538)."""

    def __init__(self, message: str, *, credentials_refused: bool = False) -> None:
        super().__init__(message)
        self.credentials_refused = credentials_refused


async def open_connection(target: RelayTarget) -> Connection:
    """Connect, secure and sign in. Raises ConnectFailed with words for people."""
    client = aiosmtplib.SMTP(
        hostname=target.host,
        port=target.port,
        username=target.username or None,
        password=target.password if target.username else None,
        local_hostname=target.helo_name,
        timeout=target.timeouts.connect,
        use_tls=target.security == "tls",
        start_tls=target.security == "starttls",
    )
    try:
        await client.connect()
        if client.is_ehlo_or_helo_needed:
            await _greet(client)
    except aiosmtplib.SMTPResponseException as error:
        client.close()
        # A 454 to AUTH is a relay in trouble (RFC 4954 section 6), not one that does not want us.
        is_auth = isinstance(error, aiosmtplib.SMTPAuthenticationError) and error.code >= 500
        refused = is_auth or error.code in {530, 534, 535, 538}
        raise ConnectFailed(f"{error.code} {error.message}", credentials_refused=refused) from error
    except (aiosmtplib.SMTPException, OSError, ssl.SSLError) as error:
        client.close()
        raise ConnectFailed(str(error) or type(error).__name__) from error
    if client.transport is None:
        raise ConnectFailed("The relay closed the connection after its greeting.")
    transport = cast("asyncio.Transport", client.transport)  # uvloop's is no subclass
    connection = Connection(transport, target.timeouts, is_pipelining=client.supports_extension("pipelining"))
    transport.set_protocol(connection)
    return connection


async def _greet(client: aiosmtplib.SMTP) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()
