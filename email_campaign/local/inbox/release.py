"""Releasing a mail to another SMTP server, and the servers that are remembered by name, as in MailHog.

Two things are ours: a mail that is missing is 404, and a QUIT that goes wrong after the mail was taken is no failure.
As in MailHog, `/api/v2/outgoing-smtp` tells saved passwords to whoever may read mail here. They are in memory only.
"""

import asyncio
import contextlib
import logging
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import aiosmtplib
from starlette.requests import Request
from starlette.responses import Response

from email_campaign.local.inbox.answers import JSON_V1, JSON_V2, json_answer, not_found, read_body
from email_campaign.local.inbox.go_json import Kind, decode
from email_campaign.local.inbox.mail import to_eml
from email_campaign.local.inbox.store import Store

RELEASE_SECONDS = 60.0
MAX_AT_ONCE = 8
MAX_SAVED = 100

logger = logging.getLogger("email_campaign.inbox")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An SMTP server and a recipient; the fields are MailHog's JSON keys, in its order."""

    name: str = ""
    save: bool = False
    email: str = ""
    host: str = ""
    port: str = ""
    username: str = ""
    password: str = ""
    mechanism: str = ""

    @property
    def signs_in(self) -> bool:
        return bool(self.username or self.password)


_KINDS: dict[str, Kind] = {field.name: "flag" if field.type is bool else "text" for field in fields(Outgoing)}


class Unusable(Exception):
    """What was asked for cannot be done: a name that is taken or unknown, a mechanism that MailHog does not speak."""


class Releases:
    """Sends mails of the store on, one transaction a request."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._saved: dict[str, Outgoing] = {}
        self._turn = asyncio.Semaphore(MAX_AT_ONCE)

    async def servers(self, _: Request) -> Response:
        """GET `/api/v2/outgoing-smtp`: what was saved, by name."""
        return json_answer({name: _told(server) for name, server in sorted(self._saved.items())}, JSON_V2)

    async def release(self, request: Request) -> Response:
        """POST `/api/v1/messages/{id}/release`: 200 when the other server has the mail."""
        try:
            asked = Outgoing(**decode(await read_body(request), _KINDS))
        except ValueError:
            return Response("Error decoding request body", 500, headers=JSON_V1)
        mail = self._store.get(request.path_params["id"])
        if mail is None:
            return not_found("This mail is not in the inbox any more.")
        try:
            server = self._choose(asked)
            async with self._turn, asyncio.timeout(RELEASE_SECONDS):
                await _hand_over(server, f"nobody@{self._store.host_name}", to_eml(mail))
        except Unusable as error:
            logger.warning("inbox: mail %d was not released: %s", mail.number, error)
            return Response(status_code=400, headers=JSON_V1)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            logger.warning("inbox: mail %d was not released: %s", mail.number, _reason(error))
            return Response(status_code=500, headers=JSON_V1)
        return Response(headers=JSON_V1)

    def _choose(self, asked: Outgoing) -> Outgoing:
        """The server to use: as asked for, or the one that was saved under this name, with another recipient."""
        if asked.save:
            if asked.name in self._saved:
                raise Unusable("a server of this name is saved already")
            if len(self._saved) >= MAX_SAVED:
                raise Unusable("no more servers can be saved")
            self._saved[asked.name] = asked
        if asked.name:
            saved = self._saved.get(asked.name)
            if saved is None:
                raise Unusable("no server of this name is saved")
            asked = replace(saved, email=asked.email or saved.email)
        if asked.signs_in and asked.mechanism not in {"PLAIN", "CRAMMD5"}:
            raise Unusable("the mechanism is neither PLAIN nor CRAMMD5")
        return asked


def _reason(error: Exception) -> str:
    """For the log, which has no addresses: what the other server says may quote one."""
    return str(error.code) if isinstance(error, aiosmtplib.SMTPResponseException) else repr(error)


def _told(server: Outgoing) -> dict[str, Any]:
    return {key.title(): value for key, value in asdict(server).items()}


async def _hand_over(server: Outgoing, sender: str, content: bytes) -> None:
    """One mail over one connection, with STARTTLS where it is offered. Raises for every failure."""
    if not server.port.isascii() or not server.port.isdigit() or not 0 < int(server.port) < 65536:
        raise ValueError("not a port")
    host = server.host or "localhost"
    client = aiosmtplib.SMTP(hostname=host, port=int(server.port), local_hostname="localhost", timeout=RELEASE_SECONDS)
    try:
        await client.connect()
        if client.is_ehlo_or_helo_needed:
            await _greet(client)
        if server.signs_in:
            await _sign_in(client, server)
        parameters = b" BODY=8BITMIME" if client.supports_extension("8bitmime") else b""
        if client.supports_extension("smtputf8"):
            parameters += b" SMTPUTF8"
        await _say(client, b"MAIL FROM:<" + sender.encode() + b">" + parameters)
        await _say(client, b"RCPT TO:<" + server.email.encode() + b">")
        await client.data(content)
        with contextlib.suppress(aiosmtplib.SMTPException, OSError):
            await client.quit()
    finally:
        client.close()


async def _greet(client: aiosmtplib.SMTP) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()


async def _sign_in(client: aiosmtplib.SMTP, server: Outgoing) -> None:
    """A password is shown to nobody on the way: PLAIN goes over TLS, or stays on this machine. As Go has it."""
    if not client.supports_extension("auth"):
        raise aiosmtplib.SMTPNotSupported("no AUTH is offered")
    if server.mechanism == "CRAMMD5":
        await client.auth_crammd5(server.username, server.password)
        return
    is_secured = client.get_transport_info("sslcontext") is not None
    if not is_secured and server.host not in {"localhost", "127.0.0.1", "::1"}:
        raise aiosmtplib.SMTPNotSupported("PLAIN would show the password to the network")
    await client.auth_plain(server.username, server.password)


async def _say(client: aiosmtplib.SMTP, command: bytes) -> None:
    response = await client.execute_command(command)
    if response.code not in {250, 251}:
        raise aiosmtplib.SMTPResponseException(response.code, response.message)
