"""`python -m email_campaign.local.inbox`: serve until SIGINT or SIGTERM."""

import asyncio
import logging
import signal
import sys

from email_campaign import log
from email_campaign.local.inbox.server import Options, PortTaken, open_inbox, run
from email_campaign.settings import Settings, get_settings

logger = logging.getLogger("email_campaign.inbox")


def main() -> None:
    """Exit status 0 after a signal, 1 when an address is taken."""
    settings = get_settings()
    log.configure(settings.log_level, settings.log_format)
    try:
        run(_serve(settings))
    except PortTaken as error:
        sys.exit(str(error))


async def _serve(settings: Settings) -> None:
    options = Options(
        settings.inbox_host,
        settings.inbox_smtp_port,
        settings.inbox_http_port,
        settings.inbox_keep,
        settings.inbox_max_bytes,
        settings.inbox_cors_origin,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with open_inbox(options) as inbox:
        logger.info("inbox: SMTP on %s:%d, pages on %s", inbox.smtp_host, inbox.smtp_port, inbox.http_url)
        await stop.wait()


if __name__ == "__main__":
    main()
