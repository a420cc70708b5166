"""The pages of templates: written with a live preview as a real contact."""

import re

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from email_campaign.campaigns.mailings import MailingState
from email_campaign.content.templates import Template
from email_campaign.db import SessionFactory
from email_campaign.delivery.deliveries import DeliveryState
from tests.factories import make_campaign, make_contact, make_delivery, make_template

HERE = "/admin/templates"
GOOD = {
    "name": "Spring",
    "subject": "Hello {{ name }}",
    "html": '<p>Hello {{ name }}</p>\r\n<a href="{{ unsubscribe_url }}">Unsubscribe</a>',
    "text": "",
    "contact": "",
}
JSON = {"Accept": "application/json"}


def test_an_empty_page_says_what_a_template_is(signed_in: TestClient) -> None:
    assert "No templates yet" in signed_in.get(HERE).text
    assert "{{ unsubscribe_url }}" in signed_in.get(f"{HERE}/new").text.replace("&#34;", '"')


def test_a_template_is_written_saved_copied_and_archived(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    made = signed_in.post(f"{HERE}/new", data=GOOD)
    assert made.status_code == 303
    here = made.headers["Location"]
    with session_factory() as session:
        assert "\r" not in session.scalars(select(Template)).one().html
    page = signed_in.get(here).text
    assert "There is no text part of your own" in page
    assert "Hello {{ name }}" in signed_in.get(f"{HERE}/new?copy={here.rpartition('/')[2]}").text
    assert signed_in.post(here, data=GOOD | {"name": "Autumn"}).status_code == 303
    assert "Autumn" in signed_in.get(HERE).text
    assert "No template has" in signed_in.get(HERE, params={"q": "Spring"}).text
    assert signed_in.post(f"{here}/archive").status_code == 303
    assert "No templates yet" in signed_in.get(HERE).text
    assert "This template is archived" in signed_in.get(here).text
    assert signed_in.post(here, data=GOOD).status_code == 409


@pytest.mark.parametrize(
    ("changed", "field", "said"),
    [
        ({"html": "<p>\n{% for x in %}"}, "html", "Line 2"),
        ({"subject": "{{ name"}, "subject", "Line 1"),
        ({"name": ""}, "name", "needs a name"),
        ({"name": "taken"}, "name", "choose another name"),
        ({"html": "{% for a in range(9) %}x{% endfor %}"}, "html", "Line 1"),
    ],
)
def test_a_mistake_stands_beside_its_field_with_its_line(
    signed_in: TestClient, session_factory: SessionFactory, changed: dict[str, str], field: str, said: str
) -> None:
    with session_factory.begin() as session:
        make_template(session, name="Taken")
    answer = signed_in.post(f"{HERE}/new", data=GOOD | changed)
    assert answer.status_code == 422
    error = re.search(rf'id="f-{field}-error".*?<span>(.*?)</span>', answer.text, re.DOTALL)
    assert error
    assert said in error[1]
    assert 'value="{}"'.format((GOOD | changed)["name"]) in answer.text


def test_the_preview_is_the_mail_of_the_chosen_contact(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        make_contact(session, "ada@example.org", name="Ada")
        make_contact(session, "bob@example.org", name="Bob & Co")
    chosen = GOOD | {"contact": "Bob@example.org"}
    answer = signed_in.post(f"{HERE}/preview", data=chosen, headers=JSON).json()
    assert answer["subject"] == "Hello Bob & Co"
    assert "Hello Bob & Co" in answer["text"]
    frame = signed_in.post(f"{HERE}/preview", data=chosen)
    assert "Hello Bob &amp; Co" in frame.text
    assert frame.headers["Content-Security-Policy"].startswith("sandbox")
    anybody = signed_in.post(f"{HERE}/preview", data=GOOD, headers=JSON).json()
    assert anybody["subject"] in {"Hello Ada", "Hello Bob & Co"}


def test_a_preview_is_light_or_dark_as_is_chosen_and_says_where_the_mail_knows_no_dark(signed_in: TestClient) -> None:
    themed = GOOD | {"html": "<style>@media (prefers-color-scheme: dark) { p { color: #fff } }</style><p>Hello"}
    assert "@media (max-width: 0) {" in signed_in.post(f"{HERE}/preview", data=themed).text
    assert "@media (min-width: 0) {" in signed_in.post(f"{HERE}/preview?theme=dark", data=themed).text
    for fields, knows in ((GOOD, False), (themed, True)):
        answer = signed_in.post(f"{HERE}/preview?theme=dark", data=fields, headers=JSON).json()
        assert answer["has_dark_style"] is knows


def test_a_preview_names_line_variable_and_unknown_contact(signed_in: TestClient) -> None:
    wrong = signed_in.post(f"{HERE}/preview", data=GOOD | {"html": "<p>\n{{ plan }}"}, headers=JSON)
    assert wrong.status_code == 200  # what is being typed is no failed request
    (problem,) = wrong.json()["errors"]
    assert (problem["field"], problem["line"], problem["variable"]) == ("html", 2, "plan")
    nobody = signed_in.post(f"{HERE}/preview", data=GOOD | {"contact": "nobody@example.org"}, headers=JSON)
    assert nobody.json()["errors"][0]["field"] == "contact"


def test_the_variables_are_the_attributes_in_use(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        make_contact(session, attributes={"city": "London", "plan": "gold"})
        make_contact(session, attributes={"city": "Paris"})
    page = signed_in.get(f"{HERE}/new").text
    assert page.index("{{ city }}") < page.index("{{ plan }}")
    assert "50%" in page


def test_a_campaign_that_missed_somebody_is_not_green(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        template = make_template(session)
        campaign = make_campaign(session, name="Spring", template=template, state=MailingState.FINISHED)
        make_delivery(session, campaign.mailing, make_contact(session), state=DeliveryState.REJECTED)
    assert "finished, 1 not reached" in signed_in.get(f"{HERE}/{template.id}").text
