"""The demo's file, its words on the terminal, when it is due, and what it would complain about."""

import csv
import io
import re
from collections import Counter

import pytest
from sqlalchemy.orm import Session

from email_campaign.address import BadAddress, domain_of, normalise
from email_campaign.campaigns.mailings import MailingKind
from email_campaign.content.checks import check_content
from email_campaign.content.language import compile_content
from email_campaign.local.demo import letter
from email_campaign.local.demo.beside import is_due
from email_campaign.local.demo.people import DOMAINS, make_file
from email_campaign.local.demo.play import contradictions
from email_campaign.local.demo.telling import Teller, bar, number_of
from email_campaign.local.terminal import Terminal
from tests.factories import make_contact, make_mailing


class Screen(io.StringIO):
    """A terminal, or a file."""

    def __init__(self, *, is_live: bool) -> None:
        super().__init__()
        self._is_live = is_live

    def isatty(self) -> bool:
        return self._is_live


def rows_of(count: int) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(make_file(count).csv)))


def addresses(rows: list[dict[str, str]]) -> list[str]:
    found = []
    for row in rows:
        try:
            found.append(normalise(row["email"]))
        except BadAddress:
            continue
    return found


@pytest.mark.parametrize("count", [10, 1_000, 2_500])
def test_the_file_has_as_many_contacts_as_it_says_two_repeated_rows_and_three_malformed_ones(count: int) -> None:
    rows = rows_of(count)
    well_formed = [row for row in rows if None not in row]  # under None stands what has no column
    good = addresses(well_formed)
    assert len(rows) == make_file(count).row_count == count + 5
    assert len(good) == count + 2
    assert len(set(good)) == count
    assert normalise(make_file(count).unwilling) in good


def test_the_contacts_stand_at_twenty_domains_that_nobody_can_own() -> None:
    assert len(DOMAINS) == 20
    assert {domain_of(address) for address in addresses(rows_of(1_000))} == {
        domain_of(normalise(f"a@{domain}")) for domain in DOMAINS
    }
    assert all(domain.endswith((".example", ".test")) for domain in DOMAINS)


def test_a_thousand_contacts_have_a_thousand_names_in_ten_scripts() -> None:
    names = {row["name"] for row in rows_of(1_000)}
    assert len(names) >= 1_000
    for letters in ("ÅŁéØ", "Α-Ω", "А-Я", "\u0621-\u064a", "א-ת", "अ-ह", "一-龥", "ぁ-ん", "가-힣", "ა-ჰ"):
        assert any(re.search(f"[{letters}]", name) for name in names), letters


def test_the_letter_compiles_greets_by_name_and_gives_no_cause_for_a_warning() -> None:
    assert check_content(letter.SUBJECT, letter.html(), letter.text()) == []
    content = compile_content(letter.SUBJECT, letter.html(), letter.text())
    for plan in ("seedling", "gardener", "patron"):
        ada = {"name": "Ада <b>", "city": "Київ", "plan": plan, "since": "2019"}
        made = content.render(ada | {"address": "ada@choir.example", "unsubscribe_url": "https://x.example/u/1"})
        assert made.subject.startswith("Ада <b>, ")
        assert "Ада &lt;b&gt;" in (made.html or "")
        assert "https://x.example/u/1" in (made.html or "")
        assert "https://x.example/u/1" in made.text


def test_the_demo_is_due_until_somebody_was_written_to(session: Session) -> None:
    assert is_due(session)
    make_contact(session, address="somebody@atelier.example")
    assert is_due(session)  # a demo that was cut short is played again
    make_mailing(session, kind=MailingKind.CAMPAIGN)
    assert not is_due(session)


def test_the_demo_never_comes_among_real_people(session: Session) -> None:
    make_contact(session, address="ada@lovelace.org")
    assert not is_due(session)


def test_numbers_that_contradict_each_other_are_named() -> None:
    counts = {"accepted": 8, "unknown": 1, "skipped": 1, "pending": 0}
    log = Counter({"accepted": 8, "unknown": 1, "skipped": 1})
    assert contradictions(counts, 10, log, 8) == []
    assert contradictions(counts, 10, log, 9) == []
    assert contradictions(counts, 11, log, 8) == ["11 are confirmed on the list, and the states have 10"]
    assert contradictions(counts, 10, Counter(), 8) == ["the send log has no row"]
    assert contradictions(counts, 10, log, 7) == ["8 were accepted, and the inbox has 7"]
    assert contradictions(counts, 10, log, 10) == ["8 were accepted, and the inbox has 10"]


def test_a_line_that_comes_while_the_bar_is_drawn_stands_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen(is_live=True)
    terminal = Terminal(screen)
    terminal.draw("half")
    terminal.say("web ended")
    terminal.draw("")
    terminal.say("done")
    assert screen.getvalue() == "\r\x1b[Khalf\r\x1b[Kweb ended\nhalf\r\x1b[Kdone\n"


def test_a_file_gets_a_few_lines_in_place_of_the_bar() -> None:
    screen = Screen(is_live=False)
    teller = Teller(Terminal(screen))
    for accepted in range(0, 101, 5):
        counts = {"accepted": accepted, "pending": 100 - accepted, "sending": 0}
        teller.follow({"counts": counts, "rate_per_second": None}, 100)
    assert [line.split()[1] for line in screen.getvalue().splitlines()] == ["25%:", "50%:", "75%:", "100%:"]


def test_a_name_that_the_terminal_cannot_show_does_no_harm() -> None:
    raw = io.BytesIO()
    screen = io.TextIOWrapper(raw, encoding="ascii")
    Terminal(screen).say("陽子 is here")
    assert raw.getvalue() == b"?? is here\n"


def test_bars_are_always_as_wide_as_each_other() -> None:
    assert {len(bar(share / 50)) for share in range(-5, 60)} == {32}
    assert bar(0) == "─" * 32
    assert bar(1) == "━" * 32


def test_only_names_of_ours_have_a_number() -> None:
    assert [number_of(name, "Demo") for name in ("Demo 7", "Demo", "Demo 7b", "My Demo 9")] == [7, 0, 0, 0]
