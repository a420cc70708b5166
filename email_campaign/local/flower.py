"""`email-campaign flower`: Celery's own pages on our broker, behind a password."""

import os
import sys
from argparse import ArgumentParser, Namespace

from email_campaign.errors import Conflict
from email_campaign.settings import Settings

PORT = 5555


def add_arguments(parser: ArgumentParser) -> None:
    """What `flower` is asked with."""
    parser.add_argument("--address", default="127.0.0.1", help="where it listens (default: this machine alone)")
    parser.add_argument("--port", type=int, default=PORT, help=f"default: {PORT}")


def flower(arguments: Namespace, settings: Settings) -> int:
    """Become Flower. Raises Conflict without a password: its pages end tasks and show addresses of machines."""
    user, colon, password = settings.flower_basic_auth.get_secret_value().partition(":")
    if not (user and colon and password):
        raise Conflict("Set FLOWER_BASIC_AUTH=user:password, in .env or the environment: Flower can end tasks.")
    # Through the environment: every user of the machine can read a command line.
    environment = {
        **os.environ,
        "REDIS_URL": settings.redis_url,
        "FLOWER_BASIC_AUTH": settings.flower_basic_auth.get_secret_value(),
    }
    where = (f"--address={arguments.address}", f"--port={arguments.port}")
    sys.stdout.flush()
    os.execve(  # noqa: S606 – it takes this process' place, so that signals reach it
        sys.executable, [sys.executable, "-m", "celery", "-A", "email_campaign", "flower", *where], environment
    )
