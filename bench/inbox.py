"""How many mails a second the inbox takes, step by step and pipelined."""

import asyncio
import time
from multiprocessing import Process

from bench.options import Options
from bench.report import Report, VoidRun
from email_campaign.local.inbox.server import Options as InboxOptions
from email_campaign.local.inbox.server import running_inbox

CONNECTIONS = 20
HEADERS = b"From: A <a@from.example>\r\nTo: B <b@to.example>\r\nSubject: A mail of six kilobytes\r\n\r\n"
BODY = HEADERS + (b"x" * 76 + b"\r\n") * 77 + b".\r\n"
STEPS = (b"MAIL FROM:<a@from.example>\r\n", b"RCPT TO:<b@to.example>\r\n", b"DATA\r\n", BODY)


def run(options: Options, report: Report) -> None:
    """One client process with all connections, step by step and pipelined."""
    mails = options.counted(40_000) // CONNECTIONS * CONNECTIONS
    for name, is_pipelined in (("step by step", False), ("pipelined", True)):
        with running_inbox(InboxOptions(keep=10_000)) as inbox:
            client = Process(target=run_clients, args=(inbox.smtp_port, mails, is_pipelined))
            started = time.perf_counter()
            client.start()
            client.join()
            seconds = time.perf_counter() - started
            if inbox.store.changes != mails:
                raise VoidRun(f"The inbox counted {inbox.store.changes:,} mails of {mails:,} sent.")
            kept = f"{len(inbox.store):,} kept, {inbox.store.held_bytes / 1e6:.0f} MB"
            report.add(f"inbox: {name}", mails / seconds, "mails/s", note=f"{CONNECTIONS} connections; {kept}")


def run_clients(port: int, mails: int, is_pipelined: bool) -> None:
    """The senders have a process of their own, so that the inbox has a core to itself."""

    async def send_all() -> None:
        await asyncio.gather(*(_send(port, mails // CONNECTIONS, is_pipelined) for _ in range(CONNECTIONS)))

    asyncio.run(send_all())


async def _send(port: int, mails: int, is_pipelined: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    writer.write(b"HELO bench\r\n")
    await reader.readline()
    for _ in range(mails):
        if is_pipelined:
            # RFC 2920: DATA may end a group of commands, and the mail waits for its 354.
            writer.write(b"".join(STEPS[:3]))
            for _ in range(3):
                await reader.readline()
            writer.write(BODY)
            await reader.readline()
            continue
        for step in STEPS:
            writer.write(step)
            await reader.readline()
    writer.close()
