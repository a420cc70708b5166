"""django-post-office as its manual sets it up: a queue in Postgres, worked off by `send_queued_mail` with processes.

Runs in the peers' own venv, which knows nothing of this product. It reads one JSON object from standard input, fills
the queue, and prints a JSON object with the seconds that sending took.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

PAGE = 1_000


def main() -> None:
    """Fill the queue (which is not timed), then send all of it."""
    asked = json.load(sys.stdin)
    _configure(asked)
    call_command("migrate", verbosity=0)
    # After django.setup(), and not before: its models need the settings.
    from post_office import mail, models  # noqa: PLC0415

    mails = asked["mails"]
    for first in range(0, len(mails), PAGE):
        mail.send_many([_email(asked["sender"], one) for one in mails[first : first + PAGE]])
    started = time.perf_counter()
    call_command("send_queued_mail", processes=asked["processes"], lockfile=str(Path(asked["folder"]) / "post_office"))
    seconds = time.perf_counter() - started
    sent = models.Email.objects.filter(status=models.STATUS.sent).count()
    json.dump({"seconds": seconds, "sent": sent, "logs": models.Log.objects.count()}, sys.stdout)


def _configure(asked: dict[str, Any]) -> None:
    database = {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": None, **asked["database"]}
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "post_office"],
        DATABASES={"default": database},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=asked["smtp_port"],
        POST_OFFICE={"THREADS_PER_PROCESS": asked["threads"], "BATCH_SIZE": asked["batch"]},
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        USE_TZ=True,
    )
    django.setup()


def _email(sender: str, one: dict[str, Any]) -> dict[str, Any]:
    return {
        "recipients": one["address"],
        "sender": sender,
        "subject": one["subject"],
        "message": one["text"],
        "html_message": one["html"],
        "headers": one["headers"],
        "priority": "medium",
    }


if __name__ == "__main__":
    main()
