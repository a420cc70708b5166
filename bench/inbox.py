"""How many mails a second the inbox takes, step by step and pipelined: `python -m bench.inbox [mails] [senders]`."""

import asyncio
import sys
import time
from multiprocessing import Process

from email_campaign.local.inbox.server import Options, running_inbox

HEADERS = b"From: A <a@from.example>\r\nTo: B <b@to.example>\r\nSubject: A mail of six kilobytes\r\n\r\n"
BODY = HEADERS + (b"x" * 76 + b"\r\n") * 77 + b".\r\n"
STEPS = (b"MAIL FROM:<a@from.example>\r\n", b"RCPT TO:<b@to.example>\r\n", b"DATA\r\n", BODY)


def main() -> None:
    mails = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000
    connections = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    for name, is_pipelined in (("step by step", False), ("pipelined", True)):
        with running_inbox(Options(keep=10_000)) as inbox:
            client = Process(target=run_clients, args=(inbox.smtp_port, mails, connections, is_pipelined))
            started = time.perf_counter()
            client.start()
            client.join()
            seconds = time.perf_counter() - started
            kept = f"{len(inbox.store):,} kept, {inbox.store.held_bytes / 1e6:.0f} MB"
            print(f"{name}: {inbox.store.changes:,} mails of {len(BODY):,} bytes on {connections} connections, "
                  f"{inbox.store.changes / seconds:,.0f} a second ({kept})")  # fmt: skip


def run_clients(port: int, mails: int, connections: int, is_pipelined: bool) -> None:
    """The senders have a process of their own, so that the inbox has a core to itself."""

    async def send_all() -> None:
        await asyncio.gather(*(_send(port, mails // connections, is_pipelined) for _ in range(connections)))

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


if __name__ == "__main__":
    main()
