"""What the living style page (`/styles`) shows: every part with empty, typical and outsize contents."""

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from email_campaign.clock import utc_now

LONG_NAME = (
    "Zweihundert Zeichen: Frühjahrsankündigung für Bestandskundinnen und Bestandskunden in Österreich, Deutschland "
    "und der Schweiz, 春のお知らせ, Весенняя рассылка, إعلان الربيع, with_one_very_long_unbreakable_word_at_its_end"
)

COUNTS = {
    "typical": {
        "accepted": 31_204,
        "sending": 64,
        "deferred": 412,
        "unknown": 3,
        "rejected": 96,
        "skipped": 120,
        "pending": 16_311,
    },
    "million": {
        "accepted": 3_418_007,
        "sending": 256,
        "deferred": 18_220,
        "unknown": 1,
        "rejected": 1,
        "skipped": 40_118,
        "cancelled": 120_044,
        "pending": 981_200,
    },
    "finished": {"accepted": 1_234_567},
    "empty": {},
}

TEMPLATE_HTML = """<p>Hello {{ name }},</p>
<p>the spring catalogue is here.</p>
{% for item in offers %}
  <p>{{ item.titel }}</p>
{% endfor %}
<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>"""


def styles_context() -> dict[str, Any]:
    """The context of `admin/styles.html`, as the pages themselves would give it."""
    now = utc_now()
    return {
        "now": now,
        "long_name": LONG_NAME,
        "counts": COUNTS,
        "campaigns": _campaigns(now),
        "tasks": _tasks(),
        "events": _events(now),
        "lines": _lines(now),
        "points": _points(now),
        "values": _values(),
        "collision": [
            {"label": "Name", "value": LONG_NAME, "is_kept": True},
            {"label": "Reply to", "value": "", "is_kept": False},
            {"label": "HTML", "value": TEMPLATE_HTML, "is_kept": False},
        ],
        "errors": {
            "address": "“ada@@example.com” has two @ signs. Write it as name@example.com.",
            "html": "Line 4: “item.titel” is not known. Did you mean “item.title”?",
            "send_at": "This time has passed. Choose one that is still to come.",
            "lists": "Choose at least one list: without one nobody is mailed.",
        },
    }


def _campaigns(now: datetime) -> list[dict[str, Any]]:
    rows = [
        ("Spring catalogue", "sending", 0, COUNTS["typical"], timedelta(minutes=-12)),
        (LONG_NAME, "finished", 160_164, COUNTS["million"], timedelta(hours=-3)),
        ("Thank you, 2026", "finished", 0, COUNTS["finished"], timedelta(days=-4)),
        ("Opening hours in May", "scheduled", 0, COUNTS["empty"], timedelta(hours=20)),
        ("Survey", "draft", 0, COUNTS["empty"], timedelta(days=-1)),
        ("Price list", "paused", 0, COUNTS["typical"], timedelta(days=-2)),
        ("Recall, batch 17", "failed", 0, COUNTS["empty"], timedelta(days=-40)),
        ("Winter sale", "cancelled", 0, {"accepted": 900, "cancelled": 12_004}, timedelta(days=-400)),
    ]
    return [
        {
            "name": name,
            "state": state,
            "not_reached": missed,
            "counts": counts,
            "audience": sum(counts.values()),
            "at": now + distance,
        }
        for name, state, missed, counts, distance in rows
    ]


def _tasks() -> list[SimpleNamespace]:
    rows = [
        ("Import of contacts-2026.csv", "running", 412_880, 1_000_000, None),
        ("Export of the send log", "waiting", 0, None, None),
        (f"Import of {LONG_NAME}.csv", "succeeded", 1_000_000, 1_000_000, None),
        (
            "Import of logo.png",
            "failed",
            0,
            None,
            "This file is a PNG image, not a CSV. Save the table as CSV (UTF-8) and import that.",
        ),
        ("Import of old.csv", "cancelled", 2_000, 48_210, None),
    ]
    return [
        SimpleNamespace(
            id=number,
            title=title,
            state=state,
            done_count=done,
            total_count=total,
            error=error,
            cancel_requested_at=None,
        )
        for number, (title, state, done, total, error) in enumerate(rows, start=1)
    ]


def _events(now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "at": now - timedelta(minutes=1),
            "who": "ada@example.com",
            "what": "resumed the campaign.",
            "tone": "sending",
        },
        {
            "at": now - timedelta(minutes=9),
            "what": "Paused by itself.",
            "why": "The relay answered 530: authentication required.",
            "tone": "deferred",
        },
        *(
            {"at": now - timedelta(minutes=10 + n), "what": f"Window {40 - n} of 200 slices done.", "machine": True}
            for n in range(6)
        ),
        {
            "at": now - timedelta(minutes=31),
            "who": "ada@example.com",
            "what": "launched it to 48,210 people.",
            "tone": "accepted",
        },
        {"at": now - timedelta(days=3), "who": "grace@example.com", "what": f"renamed it to “{LONG_NAME}”."},
    ]


def _lines(now: datetime) -> list[dict[str, Any]]:
    spoken = [
        ("note", "connected to mx1.relay.example:587, TLS 1.3", None),
        ("we", "EHLO campaigns.example.com", None),
        ("relay", "250-mx1.relay.example\n250-PIPELINING\n250 8BITMIME", None),
        ("we", "MAIL FROM:<bounce+5f1c@example.com>", None),
        ("relay", "250 2.1.0 Ok", None),
        ("we", "RCPT TO:<nobody@example.test>", None),
        (
            "relay",
            "450 4.2.0 <nobody@example.test>: Recipient address rejected: Greylisted, see http://postgrey.example/help",
            "deferred",
        ),
        ("we", "RCPT TO:<nobody@example.test>", None),
        (
            "relay",
            "550 5.1.1 <nobody@example.test>: Recipient address rejected: User unknown in virtual mailbox table",
            "rejected",
        ),
        ("note", "rejected and suppressed: hard bounce", None),
    ]
    return [
        {"at": now + timedelta(milliseconds=37 * step), "who": who, "text": text, "tone": tone}
        for step, (who, text, tone) in enumerate(spoken)
    ]


def _points(now: datetime) -> list[dict[str, Any]]:
    days = [now - timedelta(days=29 - day) for day in range(30)]
    return [
        {
            "label": f"{day.day} {day:%b}",
            "good": (n * 7919 % 23) * 9_000 * (n % 7 not in (5, 6)),
            "bad": (n * 31 % 11) * 700 * (n % 7 == 3),
        }
        for n, day in enumerate(days)
    ]


def _values() -> dict[str, Any]:
    return {
        "name": LONG_NAME,
        "address": "ada@@example.com",
        "html": TEMPLATE_HTML,
        "send_at": "2026-03-04T14:02",
        "list_id": "5",
        "lists": [],
        "scope": "confirmed",
        "consent": True,
        "rate": "150",
        "text": "Hello {{ name }},\n\nthe spring catalogue is here.",
    }
