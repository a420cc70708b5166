"""The page of API tokens: a list, a secret that is shown once, and its end."""

import re

from starlette.testclient import TestClient

from email_campaign.accounts.tokens import create_token
from email_campaign.accounts.users import Role, create_user
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory

HERE = "/admin/settings/tokens"


def test_the_page_says_what_a_token_is_for_while_there_is_none(signed_in: TestClient) -> None:
    page = signed_in.get(HERE).text
    assert "No API tokens" in page
    assert "Make an API token" in page
    assert f'href="{HERE}"' in signed_in.get("/admin/settings").text


def test_everybody_sees_their_own_tokens_only(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        other = create_user(
            session,
            address="bob@example.com",
            name="Bob",
            password="another long password",
            role=Role.MEMBER,
            now=utc_now(),
        )
        token, _ = create_token(session, user_id=other.id, name="the script of Bob", now=utc_now())
    assert "the script of Bob" not in signed_in.get(HERE).text
    assert signed_in.post(f"{HERE}/{token.id}/revoke").status_code == 404


def test_a_new_token_is_shown_once_and_works(signed_in: TestClient, client: TestClient) -> None:
    made = signed_in.post(HERE, data={"name": "nightly <import>"})
    assert "nightly &lt;import&gt;" in made.text
    found = re.search(r"ec_[A-Za-z0-9_-]{40}", made.text)
    assert found
    assert client.get("/api/v1/me", headers={"Authorization": f"Bearer {found[0]}"}).status_code == 200
    listed = signed_in.get(HERE).text
    assert "nightly &lt;import&gt;" in listed
    assert found[0] not in listed


def test_a_token_is_revoked(signed_in: TestClient, api: TestClient) -> None:
    (token,) = api.get("/api/v1/tokens").json()["items"]
    assert "never" not in signed_in.get(HERE).text
    answer = signed_in.post(f"{HERE}/{token['id']}/revoke")
    assert (answer.status_code, answer.headers["Location"]) == (303, HERE)
    page = signed_in.get(HERE).text
    assert "The API token was revoked." in page
    assert "No API tokens" in page
    assert api.get("/api/v1/me").status_code == 401


def test_a_refused_token_form_keeps_what_was_typed(signed_in: TestClient) -> None:
    answer = signed_in.post(HERE, data={"name": "x" * 101})
    assert answer.status_code == 422
    assert "x" * 101 in answer.text
    assert 'id="f-name-error"' in answer.text
