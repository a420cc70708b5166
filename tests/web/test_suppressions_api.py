"""Suppressions over HTTP."""

from starlette.testclient import TestClient


def test_an_address_is_suppressed_found_and_lifted(api: TestClient) -> None:
    made = api.post("/api/v1/suppressions", json={"address": "Bob@Example.test", "detail": "by letter"})
    assert made.status_code == 201, made.text
    again = api.post("/api/v1/suppressions", json={"address": "bob@example.test", "reason": "complaint"}).json()
    assert again == made.json()
    assert (again["address"], again["reason"]) == ("bob@example.test", "by_hand")
    found = api.get("/api/v1/suppressions", params={"q": "OB@EX"}).json()["items"]
    assert found == [again]
    one = f"/api/v1/suppressions/{again['id']}"
    assert api.get(one).json() == again
    assert api.delete(one).status_code == 204
    assert api.delete(one).status_code == 404
    assert api.get(one).status_code == 404
    assert api.get("/api/v1/suppressions").json()["items"] == []


def test_an_erased_person_stays_suppressed_and_is_found_by_the_whole_address(api: TestClient) -> None:
    contact = api.post("/api/v1/contacts", json={"address": "bob@example.test"}).json()["id"]
    api.post("/api/v1/suppressions", json={"address": "bob@example.test"})
    api.delete(f"/api/v1/contacts/{contact}")
    assert api.get("/api/v1/suppressions", params={"q": "bob"}).json()["items"] == []
    found = api.get("/api/v1/suppressions", params={"q": "bob@example.test"}).json()["items"]
    assert [one["address"] for one in found] == [None]


def test_a_wrong_field_is_named(api: TestClient) -> None:
    for body, field in (({"address": "bob"}, "address"), ({"address": "b@example.test", "reason": "x"}, "reason")):
        answer = api.post("/api/v1/suppressions", json=body)
        assert answer.status_code == 422
        assert [one["field"] for one in answer.json()["errors"]] == [field]
