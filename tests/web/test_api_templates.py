"""Templates and previews over HTTP."""

from email import message_from_string
from email.policy import default

import pytest
from starlette.testclient import TestClient

from email_campaign.campaigns.campaigns import Campaign
from email_campaign.db import SessionFactory
from tests import factories

HTML = '<p>Hello {{ name }}</p>\n<p>{{ plan }}</p>\n<a href="{{ unsubscribe_url }}">Leave</a>'


def test_a_template_is_written_read_changed_and_archived(api: TestClient) -> None:
    made = api.post("/api/v1/templates", json={"name": "Spring", "subject": "Hello", "html": HTML})
    assert made.status_code == 201
    path = f"/api/v1/templates/{made.json()['id']}"
    assert api.get(path).json() == made.json()
    assert [row["name"] for row in api.get("/api/v1/templates", params={"q": "spr"}).json()["items"]] == ["Spring"]
    changed = api.patch(path, json={"subject": "Hello {{ name }}"})
    assert (changed.json()["subject"], changed.json()["html"]) == ("Hello {{ name }}", HTML)
    taken = api.post("/api/v1/templates", json={"name": "spring", "subject": "Hello", "text": "Hello"})
    assert taken.status_code == 409
    assert api.delete(path).status_code == 204
    assert api.get("/api/v1/templates").json()["items"] == []
    assert api.get(path).json()["archived_at"]
    assert api.patch(path, json={"subject": "Hi"}).status_code == 409


def test_a_template_comes_with_warnings(api: TestClient) -> None:
    made = api.post("/api/v1/templates", json={"name": "Spring", "subject": "Hello", "html": "<p>Hi</p>\n<img src=x>"})
    warnings = {(warning["field"], warning["line"]) for warning in made.json()["warnings"]}
    assert {("html", None), ("text", None), ("html", 2)} <= warnings


@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        ({"name": " "}, "name", "needs a name"),
        ({"html": "<p>\n{{ name"}, "html", "Line 2"),
        ({"html": "", "text": ""}, "html", "Write an HTML part"),
        ({"html": "{{ ''.__class__ }}"}, "html", "Line 1"),
        ({"html": "\x00"}, "html", "NUL"),
        ({"colour": "red"}, "colour", "no field"),
    ],
)
def test_a_mistake_is_named_with_its_field_and_nothing_is_saved(
    api: TestClient, wrong: dict[str, str], field: str, words: str
) -> None:
    answer = api.post("/api/v1/templates", json={"name": "Spring", "subject": "Hello", "html": "Hi"} | wrong)
    assert answer.status_code == 422
    assert [problem["field"] for problem in answer.json()["errors"]] == [field]
    assert words in answer.json()["errors"][0]["message"]
    assert api.get("/api/v1/templates").json()["items"] == []


@pytest.fixture
def campaign(session_factory: SessionFactory) -> Campaign:
    """A campaign to one contact with an attribute."""
    with session_factory.begin() as session:
        garden = factories.make_list(session, "Garden")
        contact = factories.make_contact(session, "ada@example.org", name="Ada Ünal", attributes={"plan": "gold"})
        factories.make_subscription(session, contact, garden)
        template = factories.make_template(session, subject="Für {{ name }}", html=HTML)
        return factories.make_campaign(session, template=template, lists=[garden])


def test_a_campaign_is_previewed_by_the_code_that_sends(api: TestClient, campaign: Campaign) -> None:
    answer = api.post(f"/api/v1/campaigns/{campaign.id}/preview", json={})
    assert answer.status_code == 200
    seen = answer.json()
    assert (seen["to"], seen["subject"]) == ("ada@example.org", "Für Ada Ünal")
    assert "<p>gold</p>" in seen["html"]
    assert "Hello Ada Ünal\n" in seen["text"]
    assert "\r" not in seen["text"] + seen["html"]
    headers = {header["name"]: header["value"] for header in seen["headers"]}
    assert headers["To"] == "Ada Ünal <ada@example.org>"
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert headers["List-Unsubscribe"].startswith("<http://127.0.0.1:8000/u/")
    assert message_from_string(seen["source"], policy=default)["Subject"] == "Für Ada Ünal"


def test_a_preview_link_leads_nowhere_and_harms_nobody(api: TestClient, client: TestClient, campaign: Campaign) -> None:
    seen = api.post(f"/api/v1/campaigns/{campaign.id}/preview", json={}).json()
    headers = {header["name"]: header["value"] for header in seen["headers"]}
    path = headers["List-Unsubscribe"].strip("<>").removeprefix("http://127.0.0.1:8000")
    assert client.post(path).status_code == 200
    assert api.post(f"/api/v1/campaigns/{campaign.id}/preview", json={}).json()["to"] == "ada@example.org"


def test_a_preview_names_field_line_and_variable_of_what_is_missing(
    api: TestClient, campaign: Campaign, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        stranger = factories.make_contact(session)
    for path, body in (
        (f"/api/v1/campaigns/{campaign.id}/preview", {"contact_id": stranger.id}),
        (f"/api/v1/templates/{campaign.template_id}/preview", {"contact_id": stranger.id}),
        ("/api/v1/templates/preview", {"contact_id": stranger.id, "subject": "Hi", "html": HTML}),
    ):
        answer = api.post(path, json=body)
        assert answer.status_code == 422
        (problem,) = answer.json()["errors"]
        assert (problem["field"], problem["line"], problem["variable"]) == ("html", 2, "plan")


def test_what_was_not_saved_is_previewed_with_made_up_variables(api: TestClient) -> None:
    body = {"subject": "{{ name }}", "html": HTML, "variables": {"name": "Grace", "plan": "<b>"}}
    seen = api.post("/api/v1/templates/preview", json=body).json()
    assert (seen["subject"], seen["to"]) == ("Grace", "ada@example.org")
    assert "<p>&lt;b&gt;</p>" in seen["html"]
    assert [warning["field"] for warning in seen["warnings"]] == ["text"]


def test_a_hostile_source_is_refused_without_harm(api: TestClient) -> None:
    loop = "{% for a in xs %}{% for b in xs %}{{ a }}{% endfor %}{% endfor %}"
    body = {"subject": "Hi", "text": loop, "variables": {"xs": ["x" * 100] * 20_000}}
    answer = api.post("/api/v1/templates/preview", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"contact_id": 99}, "contact_id"),
        ({"contact_id": 0}, "contact_id"),
        ({"variables": {"address": "a\nb@example.org"}}, "variables.address"),
    ],
)
def test_a_preview_for_nobody_is_refused(api: TestClient, body: dict[str, object], field: str) -> None:
    answer = api.post("/api/v1/templates/preview", json={"subject": "Hi", "text": "Hi"} | body)
    assert answer.status_code == 422
    assert [problem["field"] for problem in answer.json()["errors"]] == [field]


def test_a_campaign_without_a_template_has_nothing_to_preview(api: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        empty = factories.make_campaign(session)
    answer = api.post(f"/api/v1/campaigns/{empty.id}/preview", json={})
    assert [problem["field"] for problem in answer.json()["errors"]] == ["template_id"]
