"""A trial call at the relay: greet, secure, sign in, name the sender, and hang up; every line that was said is kept."""

import asyncio
import ssl
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import aiosmtplib
from aiosmtplib import SMTPResponse

from email_campaign.clock import utc_now
from email_campaign.delivery.connect import RelayTarget

PATIENCE_SECONDS = 10.0
"""Somebody waits for the answer: a step may take no longer, whatever the settings allow a send process."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the conversation: `who` is we, relay or note."""

    at: datetime
    who: Literal["we", "relay", "note"]
    text: str
    is_refusal: bool = False


@dataclass(frozen=True, slots=True)
class TrialCall:
    """How it went. `error` is empty when the relay would have taken a mail."""

    lines: list[Line]
    error: str
    seconds: float


def call_relay(target: RelayTarget, mail_from: str) -> TrialCall:
    """Call the relay that the settings name; no mail is handed over. Takes up to a minute: no transaction may be open.

    Never raises for what the relay does. Credentials are not among the lines.
    """
    began = time.monotonic()
    client = _Listening(target)
    error = asyncio.run(_call(client, target, mail_from))
    return TrialCall(client.lines, error, time.monotonic() - began)


class _Listening(aiosmtplib.SMTP):
    """A client that writes down what is said; it is stepped by hand, as `connect` alone would tell only the outcome."""

    def __init__(self, target: RelayTarget) -> None:
        super().__init__(
            hostname=target.host,
            port=target.port,
            local_hostname=target.helo_name,
            timeout=min(target.timeouts.connect, PATIENCE_SECONDS),
            use_tls=target.security == "tls",
            start_tls=False,
        )
        self.lines: list[Line] = []
        self._in_secret = False

    def note(self, text: str) -> None:
        """Write down what nobody said."""
        self.lines.append(Line(utc_now(), "note", text))

    def said(self, response: SMTPResponse) -> None:
        """Write the relay's answer down, as it came over the wire."""
        *before, last = response.message.split("\n")
        text = "\n".join([*(f"{response.code}-{line}" for line in before), f"{response.code} {last}"])
        self.lines.append(Line(utc_now(), "relay", text, is_refusal=response.code >= 400))

    async def execute_command(self, *args: bytes, **patience: Any) -> SMTPResponse:
        """One command and its answer; what follows AUTH is a secret."""
        if args[0].upper() == b"AUTH":
            spoken, self._in_secret = b" ".join(args[:2]).decode() + " (credentials)", True
        else:
            spoken = "(credentials)" if self._in_secret else b" ".join(args).decode("utf-8", "replace")
        self.lines.append(Line(utc_now(), "we", spoken))
        response = await super().execute_command(*args, **patience)
        self._in_secret = self._in_secret and response.code == 334  # RFC 4954: the server asks for more
        self.said(response)
        return response


async def _call(client: _Listening, target: RelayTarget, mail_from: str) -> str:
    try:
        async with asyncio.timeout(6 * PATIENCE_SECONDS):
            await _greet(client, target)
            return await _name_sender(client, mail_from)
    except aiosmtplib.SMTPResponseException as error:
        if not client.lines or client.lines[-1].who != "relay":
            client.said(SMTPResponse(error.code, error.message))
        if isinstance(error, aiosmtplib.SMTPAuthenticationError):
            return f"The relay refuses the user name or the password: {error.code} {error.message}"
        return f"The relay refuses us: {error.code} {error.message}"
    except (aiosmtplib.SMTPException, OSError, ssl.SSLError, TimeoutError) as error:
        words = str(error) or "no answer in time"
        client.note(words)
        return _explained(words, target)
    finally:
        client.close()


async def _greet(client: _Listening, target: RelayTarget) -> None:
    client.note(f"connecting to {target.host}:{target.port}" + (", TLS" if target.security == "tls" else ""))
    client.said(await client.connect())
    if target.security == "starttls":
        client.lines.append(Line(utc_now(), "we", "STARTTLS"))
        client.said(await client.starttls())
    if target.username:
        await client.login(target.username, target.password)
    elif client.is_ehlo_or_helo_needed:
        try:
            await client.ehlo()
        except aiosmtplib.SMTPHeloError:
            await client.helo()


async def _name_sender(client: _Listening, mail_from: str) -> str:
    answer = await client.execute_command(b"MAIL", f"FROM:<{mail_from}>".encode())
    if answer.code >= 400:
        return f"The relay does not take mail from {mail_from}: {answer.code} {answer.message}"
    await client.rset()
    await client.quit()
    return ""


def _explained(words: str, target: RelayTarget) -> str:
    where = f"{target.host}:{target.port}"
    lower = words.lower()
    if "refused" in lower or "connect call failed" in lower:
        return f"Nobody listens at {where}. Check SMTP_HOST and SMTP_PORT, and that the relay is running."
    if "name or service not known" in lower or "no address associated" in lower or "name resolution" in lower:
        return f"The name {target.host} is not known to the DNS. Check SMTP_HOST."
    if "certificate" in lower:
        return f"The certificate of {target.host} is not valid: {words}"
    if "wrong_version" in lower or "wrong version" in lower:
        return f"The relay at {where} does not speak TLS from the start. Set SMTP_SECURITY to starttls or none."
    if "starttls" in lower:
        return f"The relay at {where} offers no STARTTLS. Set SMTP_SECURITY to none or tls."
    if "timed out" in lower or "in time" in lower:
        return f"The relay at {where} did not answer in time. A firewall may be in between."
    return f"The relay at {where} cannot be used: {words}"
