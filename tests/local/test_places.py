"""Secrets in the data folder."""

from pathlib import Path

from email_campaign.local.places import kept_secret


def test_a_secret_stays_and_an_interrupted_one_is_made_good(tmp_path: Path) -> None:
    file = tmp_path / "key"
    first = kept_secret(file)
    assert kept_secret(file) == first
    file.write_text("")
    assert len(kept_secret(file)) >= 32
