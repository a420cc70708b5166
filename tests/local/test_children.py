"""The list of programs that `run` starts."""

from pathlib import Path

from email_campaign.local.children import children
from email_campaign.local.programs import Program
from email_campaign.queue import ROUTES
from email_campaign.settings import Settings


def made(settings: Settings, **changes: object) -> dict[str, Program]:
    return {child.name: child for child in children(settings.model_copy(update=changes), Path("/data"))}


def queues(child: Program) -> set[str]:
    return set(child.argv[child.argv.index("-Q") + 1].split(",")) if "-Q" in child.argv else set()


def test_every_queue_has_a_consumer(settings: Settings) -> None:
    consumed = set().union(*map(queues, made(settings).values()))
    assert consumed >= set(ROUTES.values()) | {"send.system"}


def test_there_is_one_beat_and_as_many_send_processes_as_set(settings: Settings) -> None:
    assert set(made(settings, send_processes=3)) == {
        "inbox",
        "web",
        "send1",
        "send2",
        "send3",
        "control",
        "work",
        "beat",
    }


def test_children_are_told_every_address_that_was_chosen(settings: Settings) -> None:
    child = made(settings, web_port=1234, inbox_smtp_port=1235, smtp_port=1236, public_url="http://x")["web"]
    told = {name: child.environment[name] for name in ("WEB_PORT", "INBOX_SMTP_PORT", "SMTP_PORT", "PUBLIC_URL")}
    assert told == {"WEB_PORT": "1234", "INBOX_SMTP_PORT": "1235", "SMTP_PORT": "1236", "PUBLIC_URL": "http://x"}
    assert child.environment["DATABASE_URL"] == settings.database_url
    assert child.environment["SECRET_KEY"] == settings.secret_key.get_secret_value()


def test_no_password_stands_among_the_arguments(settings: Settings) -> None:
    arguments = " ".join(part for child in made(settings).values() for part in child.argv)
    assert settings.secret_key.get_secret_value() not in arguments
    assert settings.redis_url not in arguments
