"""The mails in memory: newest first, and never more than the bounds allow. Nothing is written to disk."""

import base64
import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from email_campaign.local.inbox.mail import Mail

MAIL_OVERHEAD_BYTES = 1_000
"""Python's cost of a mail besides its text (measured: 0.8 kB), so that tiny mails are bounded as well."""


class Store:
    """Mails by id in the order of their arrival. Safe to use from any thread."""

    def __init__(self, keep: int, max_bytes: int, host_name: str, clock: Callable[[], datetime]) -> None:
        self.host_name = host_name
        self.keep = keep
        self.max_bytes = max_bytes
        self.held_bytes = 0
        self.unread = 0
        self.changes = 0
        """Grows with every arrival, removal and mark: a page that knows the number knows whether it is up to date."""
        self.on_arrival: Callable[[], None] | None = None
        """Called after every arrival, by the thread that added the mail: it must neither block nor take long."""
        self._clock = clock
        self._mails: OrderedDict[str, Mail] = OrderedDict()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._mails)

    def add(self, helo: str, sender: str, recipients: Sequence[str], raw: bytes) -> Mail:
        """Keep a mail; the oldest make room. The newest stays, however large it is."""
        identity = base64.urlsafe_b64encode(os.urandom(32)).decode() + "@" + self.host_name
        with self._lock:
            number = next(self._numbers)
            mail = Mail(number, identity, self.host_name, self._clock(), helo, sender, tuple(recipients), raw)
            self._mails[identity] = mail
            self.held_bytes += _cost(mail)
            self.unread += 1
            self.changes += 1
            while len(self._mails) > self.keep or (self.held_bytes > self.max_bytes and len(self._mails) > 1):
                _, oldest = self._mails.popitem(last=False)
                self._give_back(oldest)
        if tell := self.on_arrival:
            tell()
        return mail

    def get(self, identity: str) -> Mail | None:
        return self._mails.get(identity)

    def newest(self, start: int = 0, limit: int | None = None) -> list[Mail]:
        """A copy of the list from `start` on, newest first."""
        with self._lock:
            if start >= len(self._mails):
                return []
            stop = None if limit is None else start + limit
            return list(itertools.islice(reversed(self._mails.values()), start, stop))

    def ids_after(self, number: int) -> list[str]:
        """The mails that came after that one, oldest first; an id may be gone when it is asked for."""
        with self._lock:
            newer = itertools.takewhile(lambda mail: mail.number > number, reversed(self._mails.values()))
            return [mail.id for mail in newer][::-1]

    def delete(self, identity: str) -> bool:
        """Forget one mail; False when it is not (or no longer) here."""
        with self._lock:
            mail = self._mails.pop(identity, None)
            if mail is None:
                return False
            self._give_back(mail)
            self.changes += 1
        return True

    def delete_all(self) -> None:
        """Forget everything. Safe to repeat."""
        with self._lock:
            self._mails.clear()
            self.held_bytes = self.unread = 0
            self.changes += 1

    def mark(self, identity: str, *, is_read: bool) -> None:
        """Somebody has opened the mail, or wants it to look as if not. Safe to repeat, and for a mail that is gone."""
        with self._lock:
            mail = self._mails.get(identity)
            if mail is not None and mail.is_read != is_read:
                mail.is_read = is_read
                self.unread += -1 if is_read else 1
                self.changes += 1

    def mark_all_read(self) -> None:
        """Nothing that is here is new any more. Safe to repeat."""
        with self._lock:
            for mail in self._mails.values():
                mail.is_read = True
            self.unread = 0
            self.changes += 1

    def __iter__(self) -> Iterator[Mail]:
        return iter(self.newest())

    def _give_back(self, mail: Mail) -> None:
        """Take a mail that was removed out of the sums."""
        self.held_bytes -= _cost(mail)
        self.unread -= not mail.is_read


def _cost(mail: Mail) -> int:
    return len(mail.raw) + len(mail.sender) + sum(map(len, mail.recipients)) + MAIL_OVERHEAD_BYTES
