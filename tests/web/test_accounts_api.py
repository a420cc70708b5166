"""API tokens over HTTP."""

from starlette.testclient import TestClient

from email_campaign.accounts.users import User


def test_a_token_says_whose_it_is(api: TestClient, user: User) -> None:
    answer = api.get("/api/v1/me")
    assert answer.status_code == 200, answer.text
    assert answer.json()["address"] == user.address
    assert "password" not in answer.text


def test_without_a_token_the_answer_is_401_and_says_how_to_get_one(client: TestClient) -> None:
    answer = client.get("/api/v1/me")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "settings page" in answer.json()["detail"]


def test_an_unknown_token_is_refused_and_not_repeated(client: TestClient) -> None:
    answer = client.get("/api/v1/me", headers={"Authorization": "Bearer ec_secretsecret"})
    assert answer.status_code == 401
    assert "secretsecret" not in answer.text
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_session_cookie_does_not_open_the_api(signed_in: TestClient) -> None:
    assert signed_in.get("/api/v1/me").status_code == 401


def test_a_new_token_works_and_a_revoked_one_does_not(api: TestClient) -> None:
    made = api.post("/api/v1/tokens", json={"name": "nightly"}).json()
    mine = {"Authorization": f"Bearer {made['token']}"}
    assert api.get("/api/v1/me", headers=mine).status_code == 200
    assert api.delete(f"/api/v1/tokens/{made['id']}").status_code == 204
    assert api.get("/api/v1/me", headers=mine).status_code == 401
    assert api.delete(f"/api/v1/tokens/{made['id']}").status_code == 404


def test_a_listed_token_has_no_secret(api: TestClient) -> None:
    made = api.post("/api/v1/tokens", json={"name": "nightly"}).json()
    listed = api.get("/api/v1/tokens")
    assert [token["name"] for token in listed.json()["items"]] == ["nightly", "tests"]
    assert made["token"] not in listed.text


def test_a_wrong_field_is_named(api: TestClient) -> None:
    answer = api.post("/api/v1/tokens", json={"nam": "x"})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"field": "name", "message": "This is required."},
        {"field": "nam", "message": "There is no field of this name."},
    ]
