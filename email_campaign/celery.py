"""Where `celery -A email_campaign …` looks for the app."""

from email_campaign.worker import app  # noqa: F401 – found here by Celery
