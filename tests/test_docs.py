"""The docs are true where a machine can tell: drawings, floors, tables, settings, files, tests and links."""

import inspect
import json
import re
import tomllib
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from email_campaign.audience.subscriptions import SubscriptionState
from email_campaign.campaigns.mailings import MailingState
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.local.places import CHECKOUT
from email_campaign.queue import make_app
from email_campaign.tasks.tasks import TaskState

PAGES = sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")])
ARCHITECTURE = (CHECKOUT / "docs" / "architecture.md").read_text()
README = (CHECKOUT / "README.md").read_text()


def names(page: Path) -> str:
    return str(page.relative_to(CHECKOUT))


def section(title: str) -> str:
    """The text of one `##` section of the architecture."""
    return ARCHITECTURE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(table: str) -> set[str]:
    """Every `name` in the first column of a table."""
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize("states", [MailingState, DeliveryState, SubscriptionState])
def test_the_drawings_of_states_are_those_of_the_code(states: type) -> None:
    assert inspect.getdoc(states)
    assert f"```\n{inspect.getdoc(states)}\n```" in ARCHITECTURE


def test_the_drawing_of_tasks_is_that_of_the_code() -> None:
    drawing = str(inspect.getdoc(TaskState)).splitlines()[0]
    assert f"```\n{drawing}\n```" in ARCHITECTURE


def test_the_floors_are_those_that_the_linter_holds() -> None:
    contract = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    assert "```\n" + "\n".join(contract["layers"]) + "\n```" in section("Floors")


def test_the_schema_has_every_table() -> None:
    script = ScriptDirectory.from_config(Config(str(CHECKOUT / "alembic.ini")))
    source = "\n".join(Path(revision.path).read_text() for revision in script.walk_revisions())
    assert first_cells(section("The schema on one page")) == set(re.findall(r'op\.create_table\(\s*"(\w+)"', source))


def test_every_setting_of_celery_has_its_reason() -> None:
    chosen = set(re.findall(r"^ {8}(\w+)=", inspect.getsource(make_app), re.MULTILINE))
    assert chosen
    assert first_cells(section("Settings of Celery")) == chosen


def test_every_test_that_is_named_is_there() -> None:
    sources = "\n".join(file.read_text() for file in CHECKOUT.glob("tests/**/*.py"))
    there = set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)`", section("Invariants")))
    assert named
    assert named <= there


def test_every_part_of_the_chapter_has_its_file_and_its_test() -> None:
    rows = re.findall(r"^\| (.*) \|$", README.split("\n## The chapter, for real\n")[1], re.MULTILINE)[2:]
    assert rows
    for row in rows:
        part, _, where, tests = row.split(" | ")
        assert re.fullmatch(r"(\[[\w/.]+\]\(email_campaign/[\w/.]+\)(, )?)+", where), part
        named = re.findall(r"\[([\w ]+)\]\((tests/[\w/.]+)\)", tests)
        assert named, part
        for words, file in named:
            assert f"\ndef test_{words.replace(' ', '_')}(" in (CHECKOUT / file).read_text(), f"{part}: {words}"


def test_the_tour_shows_every_picture_and_is_no_load() -> None:
    tour = (CHECKOUT / "docs" / "tour.md").read_text()
    pictures = {file.stem: file for file in (CHECKOUT / "docs" / "tour").glob("*.png")}
    assert re.findall(r"\(tour/([\w-]+)\.png\)", tour)
    assert set(re.findall(r"tour/([\w-]+)\.png", tour)) == pictures.keys()
    assert json.loads((CHECKOUT / "docs" / "tour" / "pictures.json").read_text()).keys() == pictures.keys()
    assert sum(file.stat().st_size for file in pictures.values()) < 1_500_000


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_link_and_every_file_that_is_named_leads_somewhere(page: Path) -> None:
    text = page.read_text()
    named = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:href|src)="([^"]+)"', text)
    links = [link for link in named if "://" not in link]
    for link in links:
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        assert file.exists(), link
        if anchor:
            heads = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}, link
    for path in re.findall(r"`((?:email_campaign|tests|docs|migrations|templates|bench)/[\w/.]+)`", text):
        assert (CHECKOUT / path).exists(), path
