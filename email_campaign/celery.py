"""Where `celery -A email_campaign …` looks for the app; `python -m email_campaign.celery worker …` starts sooner.

Celery's own command also loads a shell to type in and Flower: a seventh of the time that a program takes to load.
"""

import sys

from celery.bin.base import CLIContext
from celery.bin.beat import beat
from celery.bin.worker import worker

import email_campaign.worker  # noqa: F401 – the tasks, which register themselves
from email_campaign.queue import app

__all__ = ["app"]

if __name__ == "__main__":
    command = {"worker": worker, "beat": beat}[sys.argv[1]]
    command.main(sys.argv[2:], prog_name=f"celery {sys.argv[1]}", obj=CLIContext(app, no_color=True, workdir=None))
