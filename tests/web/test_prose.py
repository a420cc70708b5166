"""Plain text on a page: where an address may break, whose script it is in, and times that the script can show anew."""

from datetime import UTC, datetime

from markupsafe import Markup

from email_campaign.address import in_own_script, normalise
from email_campaign.clock import clock_time
from email_campaign.web.prose import prose


def test_a_long_address_may_break_before_its_at_sign_and_a_short_one_need_not() -> None:
    assert prose("margaret.hamilton@observatory.example") == "margaret.hamilton<wbr>@observatory.example"
    assert prose("ada@choir.example") == "ada@choir.example"


def test_a_half_that_does_not_fit_by_itself_breaks_before_its_dots() -> None:
    assert prose("secretary.of.the.observatory@stars.example") == (
        "secretary<wbr>.of<wbr>.the<wbr>.observatory<wbr>@stars.example"
    )
    assert prose("ada@mail.department.of.the.observatory.example") == (
        "ada<wbr>@mail<wbr>.department<wbr>.of<wbr>.the<wbr>.observatory<wbr>.example"
    )


def test_a_domain_is_shown_in_its_own_script_with_the_form_that_is_mailed_beside_it() -> None:
    assert prose("To zoe@xn--bcher-kva.example, today") == (
        'To <span title="zoe@xn--bcher-kva.example">zoe@bücher.example</span>, today'
    )
    assert in_own_script("xn--bcher-kva.example") == "bücher.example"
    assert in_own_script("xn--a.example") == "xn--a.example"  # no IDNA at all
    assert normalise(f"zoe@{in_own_script('xn--bcher-kva.example')}") == "zoe@xn--bcher-kva.example"


def test_a_time_of_a_sentence_is_one_that_the_script_shows_in_the_viewers_zone() -> None:
    at = datetime(2026, 3, 4, 14, 2, 10, tzinfo=UTC)
    assert prose(f"It is tried again at {clock_time(at)}.") == (
        'It is tried again at <time datetime="2026-03-04T14:02:10.000Z" data-time="seconds">'
        "4 Mar 2026, 14:02:10 UTC</time>."
    )
    assert prose("at 99 Foo 2026, 14:02:10 UTC") == "at 99 Foo 2026, 14:02:10 UTC"


def test_whatever_else_stands_in_the_text_is_escaped_and_what_is_markup_stays() -> None:
    assert prose("<b>&</b> o'hara+seeds@observatory.example <i>") == (
        "&lt;b&gt;&amp;&lt;/b&gt; o&#39;hara+seeds<wbr>@observatory.example &lt;i&gt;"
    )
    ready = Markup("<b>margaret.hamilton@observatory.example</b>")
    assert prose(ready) is ready
    assert prose(3) == 3
    assert prose(None) is None
