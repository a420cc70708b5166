"""The settings page: password, sessions."""

import re
from datetime import timedelta

from fastapi import FastAPI
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.accounts.sessions import open_session
from email_campaign.accounts.users import Role, User
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory

HERE = "/admin/settings"
PASSWORD = "correct horse battery"
NEW = "another long password"


def _change(client: TestClient, *, current: str = PASSWORD, new: str = NEW, again: str = NEW) -> tuple[int, str]:
    fields = {"current_password": current, "new_password": new, "new_password_again": again}
    answer = client.post(f"{HERE}/password", data=fields)
    return answer.status_code, answer.text


def test_a_wrong_password_form_names_its_field_and_repeats_no_password(signed_in: TestClient) -> None:
    for wrong, field in (
        ({"current": "not mine at all"}, "current_password"),
        ({"new": "short", "again": "short"}, "new_password"),
        ({"again": "something else"}, "new_password_again"),
    ):
        status, text = _change(signed_in, **wrong)
        assert status == 422
        assert f'id="f-{field}-error"' in text
        assert NEW not in text


def test_a_new_password_signs_the_other_browsers_out(
    signed_in: TestClient, user: User, session_factory: SessionFactory, nudges: list[tuple[object, ...]]
) -> None:
    with session_factory.begin() as session:
        open_session(session, user_id=user.id, lifetime=timedelta(days=1), now=utc_now())
    assert "/end" in signed_in.get(HERE).text
    assert _change(signed_in)[0] == 303
    assert [name for name, *_ in nudges] == [queue.LAUNCH_ONE]  # and they are told by mail
    page = signed_in.get(HERE)
    assert page.status_code == 200
    assert "/end" not in page.text


def test_one_browser_can_be_signed_out(signed_in: TestClient, user: User, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        open_session(session, user_id=user.id, lifetime=timedelta(days=1), now=utc_now())
    found = re.search(r'action="(/admin/settings/sessions/\d+/end)"', signed_in.get(HERE).text)
    assert found
    assert signed_in.post(found[1]).status_code == 303
    assert "/end" not in signed_in.get(HERE).text
    assert signed_in.post(found[1]).status_code == 404


def test_pages_have_no_inline_script_or_style(signed_in: TestClient, app: FastAPI) -> None:
    for path in (HERE, f"{HERE}/tokens", "/admin/nothing", "/styles"):
        text = signed_in.get(path).text
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", text), path


def test_the_style_page_is_for_administrators(
    signed_in: TestClient, user: User, session_factory: SessionFactory
) -> None:
    assert signed_in.get("/styles").status_code == 200
    with session_factory.begin() as session:
        session.get_one(User, user.id).role = Role.MEMBER
    answer = signed_in.get("/styles")
    assert answer.status_code == 403
    assert "This needs an administrator." in answer.text
