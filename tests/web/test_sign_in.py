"""Signing in and out, as a browser does it."""

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from email_campaign.accounts.users import User
from email_campaign.settings import Settings

PASSWORD = "correct horse battery"


def _page_token(client: TestClient, to: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/sign-in", params={"next": to}).text)
    assert found
    return found[1]


def _sign_in(client: TestClient, *, password: str = PASSWORD, to: str = "/admin/settings") -> Any:
    fields = {"csrf_token": _page_token(client, to), "next": to, "address": "ADA@example.com", "password": password}
    return client.post("/sign-in", data=fields)


def test_a_page_leads_to_the_sign_in_form_and_back(client: TestClient, user: User) -> None:
    asked = client.get("/admin/settings?tab=a&b=c")
    assert asked.status_code == 303
    assert asked.headers["Location"] == "/sign-in?next=%2Fadmin%2Fsettings%3Ftab%3Da%26b%3Dc"
    answer = _sign_in(client, to="/admin/settings?tab=a&b=c")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/settings?tab=a&b=c")
    assert client.get("/admin/settings").status_code == 200


def test_the_session_cookie_is_for_this_site_and_no_script(client: TestClient, user: User) -> None:
    cookie = _sign_in(client).headers["Set-Cookie"]
    assert "session=" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


def test_who_is_signed_in_skips_the_form(client: TestClient, user: User) -> None:
    _sign_in(client)
    answer = client.get("/sign-in", params={"next": "/admin/settings"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/settings")


def test_a_wrong_password_keeps_the_address_and_not_the_password(client: TestClient, user: User) -> None:
    answer = _sign_in(client, password="wrong password")
    assert answer.status_code == 422
    assert "ADA@example.com" in answer.text
    assert "wrong password" not in answer.text
    assert "The address or the password is wrong." in answer.text


def test_a_throttled_sign_in_says_when_to_try_again(client: TestClient, user: User, settings: Settings) -> None:
    for _ in range(settings.sign_in_attempts):
        assert _sign_in(client, password="wrong password").status_code == 422
    answer = _sign_in(client)
    assert answer.status_code == 429
    assert "Try again at" in answer.text
    assert 0 < int(answer.headers["Retry-After"]) <= 15 * 60


def test_a_sign_in_form_of_another_site_is_refused(client: TestClient, user: User) -> None:
    fields = {"address": "ada@example.com", "password": PASSWORD}
    assert client.post("/sign-in", data=fields).status_code == 403
    token = _page_token(client, "/admin")
    client.cookies.clear()
    assert client.post("/sign-in", data=fields | {"csrf_token": token}).status_code == 403
    client.get("/sign-in")  # another visitor, to whom the token does not belong
    assert client.post("/sign-in", data=fields | {"csrf_token": token}).status_code == 403


@pytest.mark.parametrize(
    "elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", "", "javascript:x"]
)
def test_the_form_never_leads_to_another_site(client: TestClient, user: User, elsewhere: str) -> None:
    assert _sign_in(client, to=elsewhere).headers["Location"] == "/admin"


def test_after_signing_out_the_cookie_is_worth_nothing(signed_in: TestClient) -> None:
    cookie = signed_in.cookies["session"]
    answer = signed_in.post("/sign-out")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    assert "You are signed out." in signed_in.get("/sign-in").text
    signed_in.cookies["session"] = cookie
    assert signed_in.get("/admin/settings").status_code == 303


def test_a_message_is_shown_once(signed_in: TestClient) -> None:
    signed_in.post("/sign-out")
    assert "You are signed out." in signed_in.get("/sign-in").text
    assert "You are signed out." not in signed_in.get("/sign-in").text


def test_a_cookie_that_we_did_not_sign_is_nobody(client: TestClient, user: User) -> None:
    for forged in (b"x", b"", "é".encode(), b"\xff", b"AAAA" * 20):
        assert client.get("/admin/settings", headers={"Cookie": b"session=" + forged}).status_code == 303


def test_a_script_without_a_session_gets_a_problem_and_no_page(client: TestClient) -> None:
    answer = client.get("/admin/settings", headers={"Accept": "application/json"})
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
