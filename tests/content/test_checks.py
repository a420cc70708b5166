"""The warnings of a careful person: each fires on its fault, with its line, and none on a good mail."""

import pytest

from email_campaign.content.checks import check_content

GOOD = '<p><a href="tel:1">x</a><img src="https://x.test/i" alt=""></p>\n<a href="{{ unsubscribe_url }}">no</a>'
TEXT = "x\n{{ unsubscribe_url }}"


def test_a_good_mail_has_no_warnings() -> None:
    assert check_content("News for {{ name }}", GOOD, TEXT) == []


@pytest.mark.parametrize(
    ("tag", "word"),
    [
        ("<img src='https://x.test/i.png'>", "alt"),
        ("<img src='i.png' alt=''>", "relative"),
        ("<img alt=''>", "nowhere"),
        ("<a href=''>x</a>", "nowhere"),
        ("<a href='#'>x</a>", "nowhere"),
        ("<a>x</a>", "nowhere"),
        ("<a href='http://x.test/{{ name }}'>x</a>", "https"),
        ("<A HREF='HTTP://x.test'>x</A>", "https"),
        ("<a href='/shop'>x</a>", "relative"),
        ("<a href='{{ \"\" }}'>x</a><a href='www.x.test'>x</a>", "relative"),
        ("<a href='java&#115;cript:alert(1)'>x</a>", "javascript"),
        ("<script>1</script>", "script"),
        ("<form action='https://x.test'>", "form"),
    ],
)
def test_what_is_wrong_with_a_tag_is_said_with_its_line(tag: str, word: str) -> None:
    (warning,) = check_content("s", f"{{% if name\n %}}\n{GOOD}\n{{% endif %}}{tag}", TEXT)
    assert (warning.field, warning.line) == ("html", 5)
    assert word in warning.message


@pytest.mark.parametrize(
    "tag",
    [
        "<a href='mailto:a@b.test'>x</a>",
        "<a href='{{ url }}'>x</a>",
        "<a name='top'></a><a href='#top'>x</a>",
        "<!-- <img> -->",
    ],
)
def test_what_is_right_with_a_tag_is_not_warned_about(tag: str) -> None:
    assert check_content("s", GOOD + tag, TEXT) == []


@pytest.mark.parametrize(
    ("subject", "word"),
    [("", "empty"), ("x" * 79, "79"), ("BUY NOW AND SAVE {{ name }}", "capitals")],
)
def test_a_bad_subject_is_warned_about(subject: str, word: str) -> None:
    (warning,) = check_content(subject, GOOD, TEXT)
    assert warning.field == "subject"
    assert word in warning.message


def test_a_part_without_unsubscribe_link_is_warned_about() -> None:
    warnings = check_content("s", "<p>x unsubscribe_url</p>", "x")
    assert [warning.field for warning in warnings] == ["html", "text"]


def test_a_missing_text_and_a_large_html_are_warned_about() -> None:
    text, size = check_content("s", GOOD + "x" * 102 * 1024, "")
    assert (text.field, size.field) == ("text", "html")
    assert "102" in size.message


def test_a_mail_of_text_alone_is_fine() -> None:
    assert check_content("s", "", TEXT) == []
