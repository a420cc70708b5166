"""What aiosmtplib alone can do: mails that are composed already, over connections that stay open, and no ledger."""

import asyncio
import itertools
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier

import aiosmtplib
import uvloop

from bench import letter
from email_campaign.content.language import compile_content
from email_campaign.delivery.compose import Keys, Letterhead, Press

PROCESSES = 2
CONNECTIONS = 32
PATIENCE_SECONDS = 60.0
DISTINCT = 500
"""So many different mails are sent in turn: as many as the caches of a processor would not hold."""

_SPAWN = multiprocessing.get_context("spawn")


def send(port: int, mails: int) -> float:
    """Send so many mails, dealt out to the processes; mails a second from when all connections are open."""
    barrier = _SPAWN.Barrier(PROCESSES + 1)
    shares = [mails // PROCESSES + (number < mails % PROCESSES) for number in range(PROCESSES)]
    senders = [_SPAWN.Process(target=_run, args=(port, share, barrier), daemon=True) for share in shares]
    for sender in senders:
        sender.start()
    barrier.wait(PATIENCE_SECONDS)
    started = time.perf_counter()
    for sender in senders:
        sender.join()
    return mails / (time.perf_counter() - started)


def composed(count: int) -> list[tuple[str, bytes]]:
    """Address and bytes of so many mails, as the product composes the letter of the benchmarks."""
    letterhead = Letterhead(
        mailing_id=1,
        kind="campaign",
        campaign_name="Bench",
        from_name=letter.FROM_NAME,
        from_address=letter.FROM_ADDRESS,
        reply_to="",
        list_ids=(1,),
        list_name="Bench",
        public_url="http://127.0.0.1:8000",
        content=compile_content(letter.SUBJECT, letter.HTML, letter.TEXT),
    )
    press = Press(letterhead, Keys(message_id=b"m" * 32, unsubscribe=b"u" * 32, address=b"a" * 32))
    now = datetime.now(UTC)
    mails = []
    for number in range(count):
        address = f"person.{number}@domain-{number % 97}.example"
        recipient = {"name": f"Anna Muster {number}", "address": address, "city": "Leipzig", "code": f"{number:08x}"}
        mails.append((address, press.compose(number + 1, recipient, now).data))
    return mails


def _run(port: int, mails: int, barrier: Barrier) -> None:
    uvloop.run(_send_all(port, mails, composed(DISTINCT), barrier))


async def _send_all(port: int, mails: int, distinct: Sequence[tuple[str, bytes]], barrier: Barrier) -> None:
    clients = [aiosmtplib.SMTP(hostname="127.0.0.1", port=port, use_tls=False) for _ in range(CONNECTIONS)]
    await asyncio.gather(*(client.connect() for client in clients))
    await asyncio.to_thread(barrier.wait, PATIENCE_SECONDS)
    todo = itertools.islice(itertools.cycle(distinct), mails)
    await asyncio.gather(*(_send(client, todo) for client in clients))


async def _send(client: aiosmtplib.SMTP, todo: Iterator[tuple[str, bytes]]) -> None:
    for address, data in todo:
        await client.sendmail(letter.FROM_ADDRESS, [address], data)
    await client.quit()
