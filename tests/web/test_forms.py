"""The proof that a form came from a page of ours."""

from starlette.testclient import TestClient

from email_campaign.db import SessionFactory

PATH = "/admin/settings/tokens"


def test_a_form_without_the_token_changes_nothing(signed_in: TestClient) -> None:
    token = signed_in.headers.pop("X-CSRF-Token")
    for wrong in ({}, {"csrf_token": ""}, {"csrf_token": token[:-2] + "xx"}, {"csrf_token": "é"}):
        answer = signed_in.post(PATH, data={"name": "nightly"} | wrong)
        assert answer.status_code == 403
        assert "load it again" in answer.text
    assert "No API tokens" in signed_in.get(PATH).text


def test_the_token_may_stand_in_a_field_or_in_a_header(signed_in: TestClient) -> None:
    token = signed_in.headers["X-CSRF-Token"]
    assert signed_in.post(PATH, data={"name": "by header"}).status_code == 200
    del signed_in.headers["X-CSRF-Token"]
    assert signed_in.post(PATH, data={"name": "by field", "csrf_token": token}).status_code == 200
    multipart = signed_in.post(PATH, data={"name": "by part", "csrf_token": token}, files={"unused": b""})
    assert multipart.status_code == 200


def test_a_form_that_the_browser_calls_foreign_is_refused(signed_in: TestClient) -> None:
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200)):
        answer = signed_in.post(PATH, data={"name": "x"}, headers={"Sec-Fetch-Site": site})
        assert answer.status_code == status


def test_the_token_of_one_session_is_not_good_for_another(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    signed_in.cookies.clear()
    assert signed_in.post(PATH, data={"name": "x"}).status_code == 303


def test_a_route_that_reads_no_form_is_guarded_too(signed_in: TestClient) -> None:
    del signed_in.headers["X-CSRF-Token"]
    assert signed_in.post(f"{PATH}/1/revoke").status_code == 403
    assert signed_in.post("/sign-out").status_code == 403
