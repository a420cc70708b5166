"""The bounds of the store, and its order."""

import tracemalloc

from email_campaign.clock import utc_now
from email_campaign.local.inbox.store import Store

MAIL = b"Subject: bounded\r\n\r\n" + b"x" * 6_000


def make_store(keep: int = 10, max_bytes: int = 1_000_000_000) -> Store:
    return Store(keep, max_bytes, "mailhog.example", utc_now)


def fill(store: Store, count: int, raw: bytes = MAIL) -> None:
    for number in range(count):
        # A copy each: as on the wire, no two mails share their bytes.
        store.add("x", "a@b", [f"{number}@x"], bytes(bytearray(raw)))


def test_the_oldest_make_room_and_the_newest_come_first() -> None:
    store = make_store(keep=3)
    fill(store, 5)
    assert [mail.recipients[0] for mail in store] == ["4@x", "3@x", "2@x"]
    assert [mail.number for mail in store.newest(start=1, limit=1)] == [4]


def test_bytes_are_bounded_and_given_back() -> None:
    store = make_store(keep=1_000, max_bytes=100_000)
    fill(store, 500)
    assert store.held_bytes <= 100_000
    assert 10 <= len(store) <= 16
    store.delete(store.newest()[0].id)
    store.delete_all()
    assert (store.held_bytes, len(store)) == (0, 0)


def test_the_newest_mail_stays_however_large() -> None:
    store = make_store(max_bytes=1_000)
    fill(store, 3)
    assert [mail.recipients[0] for mail in store] == ["2@x"]


def test_twenty_times_as_many_mails_as_are_kept_need_no_more_memory() -> None:
    store = make_store(keep=1_000)
    tracemalloc.start()
    try:
        fill(store, 1_000)
        full, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        fill(store, 19_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(store) == 1_000
    assert full < store.held_bytes
    assert peak < full * 1.02


def test_every_change_is_seen_by_who_polls() -> None:
    store = make_store()
    seen = {store.changes}
    fill(store, 1)
    seen.add(store.changes)
    assert store.delete(store.newest()[0].id)
    seen.add(store.changes)
    assert not store.delete("unknown")
    assert store.changes in seen
    assert len(seen) == 3


def test_the_unread_are_counted_through_marks_removals_and_evictions() -> None:
    store = make_store(keep=3)
    fill(store, 3)
    oldest = store.newest()[-1]
    store.mark(oldest.id, is_read=True)
    store.mark(oldest.id, is_read=True)
    store.mark("gone", is_read=True)
    assert store.unread == 2
    fill(store, 1)  # the one that was read makes room
    assert store.unread == 3
    fill(store, 1)
    assert store.unread == 3
    store.mark(store.newest()[0].id, is_read=True)
    store.mark(store.newest()[0].id, is_read=False)
    store.delete(store.newest()[0].id)
    assert store.unread == 2
    store.mark_all_read()
    assert store.unread == 0
    store.delete(store.newest()[0].id)
    assert (store.unread, len(store)) == (0, 1)
    fill(store, 1)
    store.delete_all()
    assert store.unread == 0
