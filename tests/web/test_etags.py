"""ETag and If-Match: an edit over the API is carried out only on what its writer has read."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from email_campaign.campaigns.mailings import MailingState
from email_campaign.content.templates import Template
from email_campaign.db import SessionFactory
from tests.factories import make_campaign, make_contact, make_list, make_template
from tests.faults.waiting import wait_for_a_waiting_lock

Make = Callable[[Session], Any]

EDITABLE = [
    ("campaigns", make_campaign, {"from_name": "Garden"}, {"from_name": "Orchard"}),
    ("templates", make_template, {"subject": "Spring"}, {"subject": "Autumn"}),
    ("lists", make_list, {"description": "Monthly"}, {"description": "Weekly"}),
    ("contacts", make_contact, {"attributes": {"city": "London"}}, {"attributes": {"city": "Paris"}}),
]
each = pytest.mark.parametrize(("plural", "make", "mine", "theirs"), EDITABLE, ids=[one[0] for one in EDITABLE])


def _path(factory: SessionFactory, plural: str, make: Make) -> str:
    with factory.begin() as session:
        return f"/api/v1/{plural}/{make(session).id}"


@each
def test_an_edit_of_what_somebody_else_changed_is_refused_and_changes_nothing(
    api: TestClient, session_factory: SessionFactory, plural: str, make: Make, mine: Any, theirs: Any
) -> None:
    path = _path(session_factory, plural, make)
    read = api.get(path).headers["ETag"]
    changed = api.patch(path, json=theirs, headers={"If-Match": read})
    assert changed.status_code == 200
    assert changed.headers["ETag"] == api.get(path).headers["ETag"] != read
    refused = api.patch(path, json=mine, headers={"If-Match": read})
    assert refused.status_code == 412
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["ETag"] == changed.headers["ETag"]
    assert api.delete(path, headers={"If-Match": read}).status_code == 412
    assert api.get(path).json().items() >= theirs.items()
    assert api.patch(path, json=mine, headers={"If-Match": refused.headers["ETag"]}).status_code == 200
    assert api.delete(path, headers={"If-Match": api.get(path).headers["ETag"]}).status_code == 204


@each
def test_of_many_edits_of_one_reading_exactly_one_is_carried_out(
    api: TestClient, session_factory: SessionFactory, plural: str, make: Make, mine: Any, theirs: Any
) -> None:
    path = _path(session_factory, plural, make)
    read = {"If-Match": api.get(path).headers["ETag"]}
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda change: api.patch(path, json=change, headers=read), [mine, theirs, mine, theirs])
        )
    assert sorted(one.status_code for one in answers) == [200, 412, 412, 412]
    (won,) = [one for one in answers if one.status_code == 200]
    assert api.get(path).headers["ETag"] == won.headers["ETag"]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 200),
        ("*", 200),
        ('"another", {tag}', 200),
        ("W/{tag}", 412),
        ('"another"', 412),
        ("no tag at all", 412),
        ("", 412),
    ],
)
def test_only_a_strong_tag_of_the_present_version_matches(
    api: TestClient, session_factory: SessionFactory, header: str | None, status: int
) -> None:
    path = _path(session_factory, "lists", make_list)
    tag = api.get(path).headers["ETag"]
    headers = {} if header is None else {"If-Match": header.format(tag=tag)}
    assert api.patch(path, json={"name": "Garden"}, headers=headers).status_code == status


def test_what_moves_by_itself_is_no_part_of_the_version(api: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        template = make_template(session)
        campaign = make_campaign(session, template=template, state=MailingState.SENDING)
    path = f"/api/v1/campaigns/{campaign.id}"
    tag = api.get(path).headers["ETag"]
    assert api.post(f"{path}/pause").status_code == 200
    limits = api.patch(f"{path}/limits", json={"limits": [{"count": 5, "seconds": 1}]}, headers={"If-Match": tag})
    assert limits.status_code == 200
    policy = {"unknown_policy": "resend"}
    assert api.patch(f"{path}/unknown", json=policy, headers={"If-Match": tag}).status_code == 412
    new = {"If-Match": limits.headers["ETag"]}
    assert api.patch(f"{path}/unknown", json=policy, headers=new).status_code == 200


def test_the_relay_s_limits_have_a_version(api: TestClient) -> None:
    read = api.get("/api/v1/relay").headers["ETag"]
    for count, status in ((5, 200), (7, 412)):
        wanted = {"limits": [{"count": count, "seconds": 1}]}
        assert api.patch("/api/v1/relay", json=wanted, headers={"If-Match": read}).status_code == status


def test_a_template_that_was_saved_while_a_change_was_tried_out_keeps_both_changes(
    api: TestClient, session_factory: SessionFactory
) -> None:
    """Without If-Match, too: what a change does not speak of must not go back to what it was."""
    path = _path(session_factory, "templates", make_template)
    with session_factory.begin() as saving:
        template = saving.get_one(Template, int(path.rpartition("/")[2]), with_for_update=True)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(api.patch, path, json={"name": "Spring"})
            template.subject = "Saved meanwhile"
            saving.flush()
            wait_for_a_waiting_lock(session_factory)
            saving.commit()
            assert answer.result().status_code == 409
    assert api.get(path).json()["subject"] == "Saved meanwhile"
    assert api.patch(path, json={"name": "Spring"}).status_code == 200
