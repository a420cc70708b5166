"""A mail catcher for tests, always read in MailHog's JSON shape, whichever of three it is.

- by default pytest-localserver's `smtpserver`, whose outbox is converted by the inbox's own code;
- a real MailHog where `MAILHOG_SMTP=host:port` and `MAILHOG_API=http://host:port` are set;
- our own inbox, for who opens one: `HttpCatcher(("127.0.0.1", inbox.smtp_port), inbox.http_url)`.
"""

import itertools
import os
from collections.abc import Iterator
from email.message import Message
from email.policy import compat32
from typing import Any, Protocol, cast

import httpx
import pytest

from email_campaign.clock import utc_now
from email_campaign.local.inbox.mail import JsonObject, Mail, to_json
from email_campaign.local.inbox.search import Kind, search

AS_SENT = compat32.clone(linesep="\r\n", max_line_length=0)


class Catcher(Protocol):
    """What tests may ask, newest mail first."""

    address: tuple[str, int]

    def messages(self) -> list[JsonObject]: ...

    def search(self, kind: Kind, query: str) -> list[JsonObject]: ...

    def delete_all(self) -> None: ...


class OutboxCatcher:
    """The outbox of pytest-localserver as MailHog would tell it. It does not know the HELO name."""

    def __init__(self, server: Any) -> None:
        self.address: tuple[str, int] = tuple(server.addr)
        self._outbox: list[Any] = server.outbox
        self._mails: dict[int, Mail] = {}
        self._numbers = itertools.count(1)

    def messages(self) -> list[JsonObject]:
        return [to_json(mail) for mail in self._newest()]

    def search(self, kind: Kind, query: str) -> list[JsonObject]:
        return [to_json(mail) for mail in search(self._newest(), kind, query)]

    def delete_all(self) -> None:
        self._outbox.clear()
        self._mails.clear()

    def _newest(self) -> list[Mail]:
        return [self._mail(message) for message in reversed(self._outbox)]

    def _mail(self, message: Any) -> Mail:
        """The same mail keeps its id however often it is asked for."""
        if id(message) not in self._mails:
            number = next(self._numbers)
            raw = cast("Message", message).as_bytes(policy=AS_SENT).removesuffix(b"\r\n")
            sender, recipients = message.details.mailfrom or "", tuple(message.details.rcpttos)
            self._mails[id(message)] = Mail(
                number, f"{number}@outbox.example", "outbox.example", utc_now(), "", sender, recipients, raw
            )
        return self._mails[id(message)]


class HttpCatcher:
    """A MailHog, or our inbox, over its API."""

    def __init__(self, address: tuple[str, int], api: str) -> None:
        self.address = address
        self._api = api.rstrip("/")

    def messages(self) -> list[JsonObject]:
        return self._pages("messages", {})

    def search(self, kind: Kind, query: str) -> list[JsonObject]:
        return self._pages("search", {"kind": kind, "query": query})

    def delete_all(self) -> None:
        httpx.delete(f"{self._api}/api/v1/messages").raise_for_status()

    def _pages(self, what: str, asked: dict[str, str]) -> list[JsonObject]:
        found: list[JsonObject] = []
        while True:
            window = {"start": str(len(found)), "limit": "250"}
            answer = httpx.get(f"{self._api}/api/v2/{what}", params=asked | window).raise_for_status().json()
            # The total is asked for the end: a real MailHog repeats its oldest mail when `start` is the total.
            found += answer["items"]
            if len(found) >= answer["total"] or not answer["items"]:
                return found


@pytest.fixture
def mailhog(request: pytest.FixtureRequest) -> Iterator[Catcher]:
    """An empty catcher: the real MailHog of MAILHOG_SMTP and MAILHOG_API, else pytest-localserver's."""
    smtp, api = os.environ.get("MAILHOG_SMTP"), os.environ.get("MAILHOG_API")
    catcher: Catcher
    if smtp and api:
        host, _, port = smtp.rpartition(":")
        catcher = HttpCatcher((host, int(port)), api)
    else:
        catcher = OutboxCatcher(request.getfixturevalue("smtpserver"))
    catcher.delete_all()
    yield catcher
    catcher.delete_all()
