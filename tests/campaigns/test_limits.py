"""Rate limits in words: what people write is understood, and what is said can be written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_campaign.campaigns.limits import RateLimit, in_order, parse, problems_of, spell
from email_campaign.errors import Invalid


@pytest.mark.parametrize(
    ("words", "limits"),
    [
        ("", []),
        ("10 a second", [(10, 1)]),
        ("10 a second, 5,000 an hour, 50,000 a day", [(10, 1), (5_000, 3_600), (50_000, 86_400)]),
        ("50000 per day; 10/s", [(10, 1), (50_000, 86_400)]),
        ("5,000 mails each hour and 400 in 90 seconds", [(400, 90), (5_000, 3_600)]),
        ("10 A SECOND,5000 An Hour", [(10, 1), (5_000, 3_600)]),
        ("600 in any minute\n7 in 2 hours", [(600, 60), (7, 7_200)]),
    ],
)
def test_words_are_understood(words: str, limits: list[tuple[int, int]]) -> None:
    assert [(one.count, one.seconds) for one in parse(words)] == limits


@pytest.mark.parametrize("words", ["many", "10", "10 a fortnight", "a second", "10 a second or so", "1,00 a second"])
def test_what_is_not_understood_is_quoted_with_an_example(words: str) -> None:
    with pytest.raises(Invalid, match=r"is not understood.*10 a second, 5,000 an hour"):
        parse(words)


@given(st.lists(st.builds(RateLimit, st.integers(1, 10_000_000), st.integers(1, 86_400)), max_size=5))
def test_what_is_said_can_be_written(limits: list[RateLimit]) -> None:
    assert parse(spell(in_order(limits))) == in_order(limits)


def test_each_wrong_limit_is_explained() -> None:
    wrong = [RateLimit(0, 1), RateLimit(1, 1), RateLimit(1, 86_401), *(RateLimit(1, n) for n in range(2, 6))]
    (problem,) = problems_of(wrong)
    assert problem.field == "limits"
    assert all(words in problem.message for words in ("10,000,000", "86,400", "once", "5 limits"))
    assert problems_of([RateLimit(1, 1), RateLimit(10_000_000, 86_400)]) == []
