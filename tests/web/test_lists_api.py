"""Mailing lists and their members over HTTP."""

import pytest
from starlette.testclient import TestClient


@pytest.fixture
def news(api: TestClient) -> str:
    made = api.post("/api/v1/lists", json={"name": "News", "description": "weekly"})
    assert made.status_code == 201, made.text
    return f"/api/v1/lists/{made.json()['id']}"


def contact(api: TestClient, number: int = 0) -> int:
    made: int = api.post("/api/v1/contacts", json={"address": f"a{number}@example.test"}).json()["id"]
    return made


def test_a_list_is_made_renamed_and_archived(api: TestClient, news: str) -> None:
    assert api.patch(news, json={"name": "Daily news"}).json()["name"] == "Daily news"
    assert api.post("/api/v1/lists", json={"name": "daily NEWS"}).status_code == 409
    assert [one["name"] for one in api.get("/api/v1/lists").json()["items"]] == ["Daily news"]
    assert api.delete(news).status_code == 204
    assert api.get("/api/v1/lists").json()["items"] == []
    assert api.get(news).json()["archived_at"] is not None
    assert api.put(f"{news}/members/{contact(api)}", json={}).status_code == 409
    assert api.patch(news, json={"name": "x"}).status_code == 409


def test_members_come_go_and_are_counted(api: TestClient, news: str) -> None:
    ids = [contact(api, number) for number in range(3)]
    for one in ids:
        assert api.put(f"{news}/members/{one}", json={}).json()["state"] == "confirmed"
    assert api.delete(f"{news}/members/{ids[0]}").status_code == 204
    assert api.delete(f"{news}/members/{ids[0]}").status_code == 204
    assert api.get(news).json()["members"] == {"pending": 0, "confirmed": 2, "unsubscribed": 1}
    confirmed = api.get(f"{news}/members", params={"state": "confirmed"}).json()["items"]
    assert [one["contact_id"] for one in confirmed] == [ids[2], ids[1]]
    assert len(api.get(f"{news}/members").json()["items"]) == 3


def test_who_unsubscribed_needs_a_reason_to_come_back(api: TestClient, news: str) -> None:
    member = f"{news}/members/{contact(api)}"
    api.put(member, json={})
    api.delete(member)
    refused = api.put(member, json={})
    assert refused.status_code == 409
    assert "unsubscribed" in refused.json()["detail"]
    assert api.put(member, json={"reason": "asked by phone"}).json()["state"] == "confirmed"


def test_what_is_not_there_is_404_and_what_is_wrong_is_named(api: TestClient, news: str) -> None:
    assert api.put(f"{news}/members/999", json={}).status_code == 404
    assert api.delete(f"{news}/members/999").status_code == 404
    assert api.get("/api/v1/lists/999").status_code == 404
    assert api.get("/api/v1/lists/999/members").status_code == 404
    wrong = api.put(f"{news}/members/{contact(api)}", json={"state": "unsubscribed"})
    assert [one["field"] for one in wrong.json()["errors"]] == ["state"]
    unnamed = api.post("/api/v1/lists", json={"name": " "})
    assert [one["field"] for one in unnamed.json()["errors"]] == ["name"]
