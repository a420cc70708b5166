"""Numbers and times on a page are true: nothing rounds to nothing, nothing to everything."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_campaign.web import formatting

NOW = datetime(2026, 3, 4, 14, 2, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (48210, "48,210"), (1234567.25, "1,234,567.2"), (3.0, "3"), (None, "–")]
)
def test_numbers_carry_separators(value: float | None, text: str) -> None:
    assert formatting.number(value) == text


@pytest.mark.parametrize(("rate", "shown"), [(None, None), (0.0, None), (0.04, None), (0.06, 0.06), (120.0, 120.0)])
def test_no_card_says_that_nothing_a_second_is_done_between_two_bursts(rate: float | None, shown: float | None) -> None:
    assert formatting.visible_rate(rate) == shown
    assert formatting.number(formatting.visible_rate(rate)) != "0"


def test_one_is_singular() -> None:
    assert formatting.count(1, "contact") == "1 contact"
    assert formatting.count(2000, "contact") == "2,000 contacts"
    assert formatting.count(0, "entry", "entries") == "0 entries"


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 1_000_000, "0%"),
        (1, 1_000_000, "<0.1%"),
        (999_999, 1_000_000, ">99.9%"),
        (1_000_000, 1_000_000, "100%"),
        (1, 8, "12.5%"),
        (0, 0, "–"),
        (None, 5, "–"),
    ],
)
def test_a_share_never_rounds_to_nothing_or_to_everything(part: int | None, whole: int, text: str) -> None:
    assert formatting.percent(part, whole) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1400, "1.4 kB"), (999_999, "1.0 MB"), (25_000_000, "25.0 MB")],
)
def test_sizes_read_in_steps_of_a_thousand(size: int, text: str) -> None:
    assert formatting.file_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.2, "<1 s"),
        (59, "59 s"),
        (250, "4 min 10 s"),
        (7500, "2 h 5 min"),
        (3600, "1 h"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations_show_the_two_largest_units(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text


def test_absolute_times_are_given_in_utc() -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    assert formatting.moment(tokyo) == "4 Mar 2026, 14:02 UTC"
    assert formatting.moment(tokyo, seconds=True) == "4 Mar 2026, 14:02:10 UTC"
    assert formatting.machine_time(tokyo) == "2026-03-04T14:02:10.000Z"


@pytest.mark.parametrize(
    ("distance", "text"),
    [
        (timedelta(0), "just now"),
        (timedelta(seconds=20), "in a moment"),
        (timedelta(minutes=-3), "3 minutes ago"),
        (timedelta(seconds=-50), "1 minute ago"),
        (timedelta(hours=2), "in 2 hours"),
        (timedelta(days=-3), "3 days ago"),
        (timedelta(days=-90), "4 Dec 2025"),
    ],
)
def test_near_times_are_told_by_their_distance(distance: timedelta, text: str) -> None:
    assert formatting.relative(NOW + distance, NOW) == text


def test_a_missing_time_is_a_dash_everywhere() -> None:
    assert formatting.relative(None) == formatting.moment(None) == formatting.duration(None) == "–"
    assert formatting.file_size(None) == "–"
    assert formatting.machine_time(None) == ""


def test_one_lost_mail_in_a_million_is_seen_in_the_bar() -> None:
    drawn = formatting.segments({"accepted": 999_999, "rejected": 1})
    assert [(s.state, s.count) for s in drawn] == [("accepted", 999_999), ("rejected", 1)]
    assert drawn[1].width == formatting.SMALLEST_SHARE


def test_an_empty_bar_has_no_segments() -> None:
    assert formatting.segments({}) == formatting.segments({"accepted": 0}) == []


@given(st.dictionaries(st.sampled_from(formatting.STATES_IN_A_BAR), st.integers(0, 10**7)))
def test_the_segments_touch_and_fill_the_bar(counts: dict[str, int]) -> None:
    drawn = formatting.segments(counts)
    edge = 0.0
    for segment in drawn:
        assert segment.x == pytest.approx(edge, abs=0.01)
        assert segment.width > 0
        edge = segment.x + segment.width
    assert edge == pytest.approx(100 if any(counts.values()) else 0, abs=0.01)
    assert sum(s.count for s in drawn) == sum(counts.values())


def test_machine_events_that_follow_each_other_are_one_bundle() -> None:
    events: list[dict[str, object]] = [
        {"what": "launched"},
        {"what": "window 1", "machine": True},
        {"what": "window 2", "machine": True},
        {"what": "paused"},
    ]
    assert [(machine, len(run)) for machine, run in formatting.folded(events)] == [(False, 1), (True, 2), (False, 1)]
