"""The living style page renders every part; what it holds keeps the rules that all pages are built by."""

import math
import re
from functools import cache
from html.parser import HTMLParser
from itertools import product
from types import SimpleNamespace

import pytest

from email_campaign.web.assets import STATIC_DIR
from email_campaign.web.cookies import Flash
from email_campaign.web.pages import make_environment
from email_campaign.web.styles_page import LONG_NAME, styles_context

STATES = ("pending", "sending", "accepted", "deferred", "rejected", "unknown", "skipped", "cancelled")
GROUNDS = ("page", "surface", "raised", "sunken", "hover")


class Tags(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))


@cache
def styles_page() -> str:
    return (
        make_environment()
        .get_template("admin/styles.html")
        .render(
            path="/admin/campaigns/5",
            current_user=SimpleNamespace(address="ada@example.com", name="Ada"),
            csrf_token="the-token",
            flashes=[Flash("Saved.")],
            **styles_context(),
        )
    )


def tags() -> list[tuple[str, dict[str, str]]]:
    return Tags(styles_page()).tags


def test_nothing_needs_an_inline_style_or_script() -> None:
    for tag, attributes in tags():
        assert tag != "style"
        assert tag != "script" or attributes["src"].startswith("/static/")
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")], tag


def test_ids_are_unique_and_whatever_names_one_finds_it() -> None:
    ids = [attributes["id"] for _, attributes in tags() if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in tags():
        for name in ("for", "aria-labelledby", "aria-describedby"):
            assert set(attributes.get(name, "").split()) <= set(ids), attributes


def test_every_icon_is_in_the_sprite() -> None:
    drawn = set(re.findall(r'symbol id="([^"]+)"', (STATIC_DIR / "icons.svg").read_text()))
    used = {attributes["href"].partition("#")[2] for tag, attributes in tags() if tag == "use"}
    assert used <= drawn
    assert {f"state-{state}" for state in STATES} <= used


def test_every_form_that_changes_something_carries_the_token() -> None:
    forms = re.findall(r"<form\b.*?</form>", styles_page(), re.DOTALL)
    posts = [form for form in forms if 'method="post"' in form.partition(">")[0]]
    assert len(posts) > 5
    assert all('name="csrf_token" value="the-token"' in form for form in posts)


def test_what_is_shown_is_escaped() -> None:
    html = make_environment().from_string('{% import "parts/layout.html" as l %}{{ l.notice("error", text) }}')
    assert "<b>" not in html.render(text="<b>")


def test_the_current_page_is_marked_in_the_navigation() -> None:
    marked = [a["href"] for tag, a in tags() if tag == "a" and "aria-current" in a and a["href"].startswith("/admin")]
    assert set(marked) == {"/admin/campaigns"}


def test_long_names_and_millions_are_on_the_page() -> None:
    assert len(LONG_NAME) >= 200
    assert LONG_NAME in styles_page()
    assert "4,577,847" in styles_page()


def test_a_finished_campaign_that_missed_somebody_is_not_green() -> None:
    badge = make_environment().from_string(
        '{% import "parts/states.html" as s %}{{ s.campaign_badge("finished", missed) }}'
    )
    assert "tone-accepted" in badge.render(missed=0)
    assert "tone-accepted" not in badge.render(missed=12)
    assert "finished, 12 not reached" in badge.render(missed=12)


def test_a_refused_form_comes_back_filled_with_its_errors() -> None:
    page = styles_page()
    assert 'value="ada@@example.com"' in page
    assert re.search(r'id="f-address"[^>]*aria-invalid="true"[^>]*aria-describedby="f-address-error"', page)
    assert '<a href="#f-address">' in page


def test_style_and_scripts_leave_room_for_a_page_of_100_kb() -> None:
    assert (STATIC_DIR / "app.css").stat().st_size <= 38 * 1024
    assert sum(path.stat().st_size for path in STATIC_DIR.iterdir() if path.suffix in {".js", ".svg"}) <= 36 * 1024


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_words_can_be_read_in_both_themes(theme: int) -> None:
    colours = {name: pair[theme] for name, pair in tokens().items()}
    words = ["text", "muted", "accent", "danger", *(f"{state}-text" for state in STATES)]
    pairs = [*product(words, GROUNDS), ("accent", "accent-soft"), ("on-accent", "accent"), ("on-danger", "danger")]
    assert [pair for pair in pairs if contrast(colours[pair[0]], colours[pair[1]]) < 4.5] == []


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_shapes_can_be_told_from_their_ground_in_both_themes(theme: int) -> None:
    colours = {name: pair[theme] for name, pair in tokens().items()}
    pairs = product([*STATES, "focus", "line-strong"], GROUNDS)
    assert [pair for pair in pairs if contrast(colours[pair[0]], colours[pair[1]]) < 3] == []


@cache
def tokens() -> dict[str, tuple[float, float]]:
    """The luminance of each colour token, light and dark."""
    css = (STATIC_DIR / "app.css").read_text()
    found = re.findall(r"--([\w-]+): light-dark\(oklch\(([^)/]+)\), oklch\(([^)/]+)\)\);", css)
    names = {name: (luminance(light), luminance(dark)) for name, light, dark in found}
    for name, other in re.findall(r"--([\w-]+): var\(--([\w-]+)\);", css):
        names[name] = names[other]
    return names


def contrast(one: float, other: float) -> float:
    """WCAG 2.2, of two luminances."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def luminance(oklch: str) -> float:
    """The relative luminance of an OKLCH colour, clipped to sRGB (CSS Color 4)."""
    lightness, chroma, hue = (float(part) for part in oklch.split())
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    rgb = (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )
    red, green, blue = (min(1.0, max(0.0, part)) for part in rgb)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
