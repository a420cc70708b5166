"""Templates live, change, are found and go out of use; versions stay as they were."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from email_campaign.content.templates import (
    TemplateDraft,
    archive_template,
    change_template,
    check,
    create_template,
    get_template,
    live_templates,
)
from email_campaign.content.versions import ContentVersion, freeze
from email_campaign.errors import Conflict, Invalid, NotFound

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def draft(
    name: str = "Spring", subject: str = "Hi {{ name }}", html: str = "<p>x</p>", text: str = ""
) -> TemplateDraft:
    return TemplateDraft(name, subject, html, text)


def test_a_template_is_kept_as_typed_with_a_tidy_name(session: Session) -> None:
    made = create_template(session, check(draft(name="  Spring \n sale ")), NOW)
    session.expire_all()
    kept = get_template(session, made.id)
    assert (kept.name, kept.subject, kept.html, kept.text) == ("Spring sale", "Hi {{ name }}", "<p>x</p>", "")
    assert (kept.created_at, kept.updated_at, kept.archived_at) == (NOW, NOW, None)


def test_all_problems_are_named_by_field_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        check(draft(name=" ", subject="{{ a", html="{{ b() }}"))
    assert [problem.field for problem in caught.value.problems] == ["name", "subject", "html"]


@pytest.mark.parametrize("name", ["", "x" * 121, "a\u200bb", "a\0b"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        check(draft(name=name))
    assert caught.value.problems[0].field == "name"


def test_a_template_that_takes_too_long_names_a_field() -> None:
    with pytest.raises(Invalid) as caught:
        check(draft(html="{{ x }}" * 70_000))
    assert caught.value.problems[0].field == "html"


def test_two_live_templates_never_share_a_name(session: Session) -> None:
    create_template(session, check(draft()), NOW)
    with pytest.raises(Conflict, match="SPRING"):
        create_template(session, check(draft(name="SPRING")), NOW)


def test_the_name_of_an_archived_template_is_free_again(session: Session) -> None:
    first = archive_template(session, create_template(session, check(draft()), NOW).id, NOW)
    archive_template(session, first.id, NOW + timedelta(days=1))
    assert first.archived_at == NOW
    second = create_template(session, check(draft()), NOW)
    assert session.scalars(live_templates()).all() == [second]


def test_a_change_is_kept_with_its_time(session: Session) -> None:
    made = create_template(session, check(draft()), NOW)
    later = NOW + timedelta(hours=1)
    change_template(session, made.id, check(draft(name="Summer", text="new")), later)
    session.expire_all()
    assert (made.name, made.text, made.created_at, made.updated_at) == ("Summer", "new", NOW, later)


def test_what_is_gone_or_archived_cannot_be_changed(session: Session) -> None:
    with pytest.raises(NotFound):
        change_template(session, 1, check(draft()), NOW)
    made = archive_template(session, create_template(session, check(draft()), NOW).id, NOW)
    with pytest.raises(Conflict):
        change_template(session, made.id, check(draft()), NOW)


@pytest.mark.parametrize(
    ("term", "found"), [("", 2), ("SPR", 1), ("hi ", 2), ("%", 1), ("100%", 1), ("_", 0), ("spr\0", 1)]
)
def test_search_looks_at_name_and_subject_literally(session: Session, term: str, found: int) -> None:
    create_template(session, check(draft(name="Spring")), NOW)
    create_template(session, check(draft(name="100% new")), NOW)
    assert len(session.scalars(live_templates(term)).all()) == found


def test_the_same_words_are_frozen_once(session: Session) -> None:
    first = freeze(session, "Hi {{ name }}", "<p>{{ city }}</p>", "")
    assert freeze(session, "Hi {{ name }}", "<p>{{ city }}</p>", "").id == first.id
    assert freeze(session, "Hi {{ name }}", "<p>{{ city }}</p>", "x").id != first.id
    assert freeze(session, "Hi {{ name }}<p>", "{{ city }}</p>", "").id != first.id
    assert first.variables == ["city", "name"]
    assert session.scalar(select(func.count()).select_from(ContentVersion)) == 3


def test_words_that_do_not_compile_are_not_frozen(session: Session) -> None:
    with pytest.raises(Invalid):
        freeze(session, "{{ a", "x", "")
    assert session.scalar(select(func.count()).select_from(ContentVersion)) == 0
