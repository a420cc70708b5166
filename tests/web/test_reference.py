"""The API's reference on the pages."""

import re
import shlex
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from email_campaign.web.reference import Group, read_groups

HERE = "/admin/api"


@pytest.fixture
def groups(app: FastAPI) -> list[Group]:
    return read_groups(app.openapi(), "http://127.0.0.1:8000")


def _operations(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, item in document["paths"].items() for method in item}


def test_every_operation_stands_in_the_reference_once(app: FastAPI, groups: list[Group]) -> None:
    shown = [(one.method, one.path) for group in groups for one in group.operations]
    assert len(shown) == len(set(shown))
    assert set(shown) == _operations(app.openapi())


def test_every_operation_and_every_link_leads_somewhere(signed_in: TestClient, groups: list[Group]) -> None:
    index = signed_in.get(HERE).text
    for group in groups:
        page = signed_in.get(f"{HERE}/{group.slug}")
        assert page.status_code == 200
        ids = re.findall(r' id="([^"]+)"', page.text)
        assert len(ids) == len(set(ids))
        assert {link for link in re.findall(r'href="#([^"]+)"', page.text) if link != "content"} <= set(ids)
        for one in group.operations:
            assert f"{HERE}/{group.slug}#{one.name}" in index
            assert one.name in ids
        assert len(page.content) < 100_000


def test_everything_is_explained(groups: list[Group]) -> None:
    for group in groups:
        for one in group.operations:
            assert one.text, one.name
            assert one.answers, one.name
        assert all(thing.text for thing in group.things if not thing.title.startswith("Page"))


def test_the_examples_are_commands_that_the_shell_reads_and_the_api_understands(
    api: TestClient, groups: list[Group]
) -> None:
    token = api.headers["Authorization"].removeprefix("Bearer ")
    for group in groups:
        for one in group.operations:
            words = shlex.split(one.curl.replace("\\\n", "").replace("$TOKEN", token))
            assert words[0] == "curl"
            headers = dict(re.split(r": ", words[at + 1], maxsplit=1) for at, word in enumerate(words) if word == "-H")
            url = next(word for word in words if word.startswith("http://"))
            body = words[words.index("-d") + 1] if "-d" in words else None
            if "-F" in words or one.name in {"call_relay_now", "revoke_token"}:
                continue
            answer = api.request(one.method, url.removeprefix("http://127.0.0.1:8000"), content=body, headers=headers)
            assert answer.status_code < 500, one.curl
            assert answer.status_code != 401, one.curl
            unknown = list(answer.json().get("errors", ())) if answer.status_code == 422 else []
            assert not [wrong for wrong in unknown if wrong["message"] == "There is no field of this name."], one.curl
            assert not [wrong for wrong in unknown if wrong["message"] == "This is required."], one.curl


def test_the_reference_is_for_those_who_are_signed_in_and_needs_nothing_from_elsewhere(
    client: TestClient, signed_in: TestClient
) -> None:
    assert client.get(HERE).status_code == 303
    page = signed_in.get(HERE).text
    assert "600 requests a minute" in page
    assert not re.findall(r'(?:src|href)="https?://', page)
    assert signed_in.get(f"{HERE}/no-such-part").status_code == 404
