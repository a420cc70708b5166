"""Waiting for something to become true, with an end; and addresses that lead through a proxy."""

import time
from collections.abc import Callable

from sqlalchemy import text

from email_campaign.db import SessionFactory
from tests.tools.proxy import Proxy


def wait_until(is_so: Callable[[], object], seconds: float = 30.0) -> None:
    """Return once it is so; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"still not so after {seconds:g} s"
        time.sleep(0.01)


def wait_for_a_waiting_lock(factory: SessionFactory) -> None:
    """Return once a transaction stands before a lock that another one holds."""
    wait_until(lambda: scalar(factory, "SELECT count(*) FROM pg_locks WHERE NOT granted"))


def scalar(factory: SessionFactory, query: str) -> int:
    """A number from the database, in a transaction of its own."""
    with factory() as session:
        return int(session.scalar(text(query)) or 0)


def target_of(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    host, _, port = url.rpartition("@")[2].partition("/")[0].partition(":")
    return host, int(port)


def through(url: str, proxy: Proxy) -> str:
    """The same URL by way of the proxy."""
    before, _, after = url.rpartition("@")
    return f"{before}@{proxy.address[0]}:{proxy.address[1]}/{after.partition('/')[2]}"
