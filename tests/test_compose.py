"""The containers: docker-compose.yml, Dockerfile and .env.example agree with each other and with the settings."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from email_campaign.local.places import CHECKOUT
from email_campaign.settings import Settings

COMPOSE = CHECKOUT / "docker-compose.yml"
EXAMPLE = CHECKOUT / ".env.example"
SECRETS = {"SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "FLOWER_BASIC_AUTH"}
APP_SERVICES = {"migrate", "web", "worker-send", "worker-control", "worker", "beat", "flower"}


def services() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text())["services"])


def variables() -> set[str]:
    """Names that docker-compose.yml takes from the environment; `$$` is for the shell inside."""
    return set(re.findall(r"(?<!\$)\$\{(\w+)", COMPOSE.read_text()))


def example() -> dict[str, str]:
    """Every setting of .env.example with its value, those behind a # too."""
    return dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))


def test_the_example_names_every_setting_and_no_stale_one() -> None:
    settings = {name.upper() for name in Settings.model_fields}
    assert set(example()) == settings | variables()


def test_the_example_shows_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    everything = tmp_path / "everything"
    everything.write_text("\n".join(f"{name}={value}" for name, value in example().items()))
    assert Settings(_env_file=everything) == Settings(_env_file=None)


def test_the_example_sets_nothing_but_asks_for_the_secrets() -> None:
    assert set(re.findall(r"^(\w+)=", EXAMPLE.read_text(), re.MULTILINE)) == SECRETS
    assert all(f"${{{name}:?{name} is missing" in COMPOSE.read_text() for name in SECRETS)


def test_only_web_is_published_and_on_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert published == {"web": ["${WEB_PUBLISH:-127.0.0.1:8000}:8000"]}
    networks = yaml.safe_load(COMPOSE.read_text())["networks"]
    assert networks["inside"]["internal"]
    outside = {name for name, service in services().items() if "outside" in service["networks"]}
    assert outside == {"web", "worker", "worker-send"}


def test_every_lasting_service_is_watched_and_started_again() -> None:
    for name, service in services().items():
        if name == "migrate":
            assert service["restart"] == "no"
        else:
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"], name


def test_every_process_of_ours_runs_from_one_image_without_rights() -> None:
    for name in APP_SERVICES:
        service = services()[name]
        assert service["build"] == ".", name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
    assert re.search(r"^USER \d+", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)


def test_the_image_installs_the_lock_with_its_hashes() -> None:
    installs = re.findall(r"pip install .*", (CHECKOUT / "Dockerfile").read_text())
    locked = [line for line in installs if "-r requirements" in line]
    assert len(locked) == 2
    assert all("--require-hashes" in line for line in locked)


def test_what_the_image_copies_is_let_through_to_the_builder() -> None:
    allowed = {line[1:] for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied: set[str] = set()
    for line in re.findall(r"^COPY (.*) \S+$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE):
        copied |= {source.split("/")[0] for source in line.split()}
    assert copied == allowed
    assert all((CHECKOUT / name).exists() for name in copied)


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """A copy of what docker-compose reads, with `.env` as a person fills it in."""
    if not shutil.which("docker-compose"):
        pytest.skip("docker-compose is not installed (Debian: apt install docker-compose)")
    shutil.copy(COMPOSE, tmp_path)
    filled = re.sub(r"^(\w+)=$", r"\1=user:0123456789abcdef", EXAMPLE.read_text(), flags=re.MULTILINE)
    (tmp_path / ".env").write_text(filled)
    return tmp_path


def config(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["docker-compose", "-f", "docker-compose.yml", "config"],
        cwd=folder,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )


def test_docker_compose_takes_the_file(configured: Path) -> None:
    done = config(configured)
    assert done.returncode == 0, done.stderr
    resolved = yaml.safe_load(done.stdout)["services"]
    assert set(resolved) == set(services())
    assert resolved["worker-send"]["environment"]["SMTP_HOST"] == "mailhog"


@pytest.mark.parametrize("secret", sorted(SECRETS))
def test_a_missing_secret_is_named(configured: Path, secret: str) -> None:
    file = configured / ".env"
    file.write_text(re.sub(f"^{secret}=.*$", f"{secret}=", file.read_text(), flags=re.MULTILINE))
    done = config(configured)
    assert done.returncode != 0
    assert f"{secret} is missing" in done.stderr
