"""What a mail looks like in its frame is decided by us, since no browser lets a page choose it."""

import pytest

from email_campaign.content.frame import framed, has_dark_style

MAIL = (
    '<meta name="color-scheme" content="light dark"><style>:root { color-scheme: light dark }'
    "@media (prefers-color-scheme: dark) { p { color: #fff } } @media ( prefers-color-scheme:light ) {}</style>"
)


def test_the_theme_decides_what_a_mail_says_of_light_and_dark() -> None:
    dark, light = framed(MAIL, "dark"), framed(MAIL)
    assert 'content="dark"><style>:root { color-scheme: dark }@media (min-width: 0) {' in dark
    assert "@media (max-width: 0) {}" in dark
    assert 'content="light"><style>:root { color-scheme: light }@media (max-width: 0) {' in light


def test_a_mail_with_a_dark_style_is_told_from_one_without() -> None:
    assert has_dark_style(MAIL)
    assert not has_dark_style("<p>color-scheme</p>")


@pytest.mark.parametrize("before", ["", "<!doctype html>", '<!doctype html><html><HEAD lang="en">'])
def test_links_open_a_tab_wherever_the_mail_begins(before: str) -> None:
    assert framed(f"{before}<p>Hello").startswith(f'{before}<base target="_blank">')
