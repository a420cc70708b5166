"""What is decided before anything starts."""

from pathlib import Path

from email_campaign.local import plan, ports
from email_campaign.settings import Settings

SERVICES_BY_HAND = {"database_url": "postgresql://me@db/mine", "redis_url": "redis://broker/0"}


def planned(tmp_path: Path, **by_hand: object) -> plan.Plan:
    chosen = {**SERVICES_BY_HAND, **by_hand}
    return plan.make(Settings(_env_file=None, **chosen), tmp_path)  # type: ignore[arg-type]  # names vary by test


def test_services_that_were_set_by_hand_are_not_embedded(tmp_path: Path) -> None:
    made = planned(tmp_path)
    assert made.services == ()
    assert made.settings.database_url == "postgresql+psycopg://me@db/mine"
    assert not list(tmp_path.glob("postgres*"))


def test_mail_goes_to_the_inbox_unless_a_relay_is_set(tmp_path: Path) -> None:
    made = planned(tmp_path, inbox_smtp_port=ports.free_port())
    assert made.relay_is_inbox
    assert (made.settings.smtp_host, made.settings.smtp_port) == ("127.0.0.1", made.settings.inbox_smtp_port)
    made = planned(tmp_path, smtp_host="mail.example.com")
    assert not made.relay_is_inbox
    assert made.settings.smtp_host == "mail.example.com"


def test_links_lead_to_where_the_web_server_is_unless_a_public_url_is_set(tmp_path: Path) -> None:
    port = ports.free_port()
    assert planned(tmp_path, web_port=port).settings.public_url == f"http://127.0.0.1:{port}"
    assert planned(tmp_path, web_port=port, web_host="0.0.0.0").settings.public_url == f"http://127.0.0.1:{port}"
    assert planned(tmp_path, public_url="https://mail.example.com/").settings.public_url == "https://mail.example.com"


def test_the_secret_key_is_generated_once(tmp_path: Path) -> None:
    first, second = planned(tmp_path).settings.secret_key, planned(tmp_path).settings.secret_key
    assert first == second
    assert len(first.get_secret_value()) >= 32
    assert (tmp_path / "secret-key").stat().st_mode & 0o777 == 0o600
    assert planned(tmp_path, secret_key="mine").settings.secret_key.get_secret_value() == "mine"
