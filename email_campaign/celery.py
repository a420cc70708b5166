"""Where `celery -A email_campaign …` looks for the app."""

import email_campaign.worker  # noqa: F401 – the tasks, which register themselves
from email_campaign.queue import app

__all__ = ["app"]
