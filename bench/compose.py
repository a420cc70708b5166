"""Microseconds a mail: rendering and assembling, beside the same mail made with EmailMessage."""

import gc
import time
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from functools import partial

from bench.options import Options
from bench.report import Report
from email_campaign.content.language import Content, compile_content
from email_campaign.content.mime import address_header, assemble, text_header

MAILS = 5_000
ROUNDS = 5
POLICY = SMTP.clone(max_line_length=998)

PARAGRAPH = (
    '<p style="margin:0 0 12px;font-family:Arial,sans-serif">We have made the {season} edition ready for you, '
    "with {more} and a few things that we have never shown before. Have a look while they last.</p>\n"
)
BODY = "".join(PARAGRAPH.format(season=season, more="more for the house") for season in ["spring", "summer"] * 8)
LINK = '<p><a href="https://shop.example/item/{n}?utm=mail&amp;c={{{{ city|urlencode }}}}">Item {n}</a></p>\n'
FOOT = '<p>To {{ address }}. <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>\n'
TEXT = "Hello {{ name }},\n\nthe new edition is ready in {{ city }}.\n\nUnsubscribe: {{ unsubscribe_url }}\n"
HTML = "<html><body><h1>Hello {{ name }}</h1>\n" + BODY + FOOT + "</body></html>\n"
LINKS = HTML.replace(FOOT, "".join(LINK.format(n=n) for n in range(20)) + FOOT)

CONTENTS = {
    "plain": compile_content("News for {{ name }}", "", TEXT + "More of the same text.\n" * 60),
    "two parts": compile_content("News for {{ name }}", HTML, TEXT + "More of the same.\n" * 100),
    "two parts, ü": compile_content("Grüße für {{ name }}", HTML.replace("ready", "für Sie"), TEXT + "Grüße.\n" * 100),
    "20 links": compile_content("News for {{ name }}", LINKS, TEXT + "More of the same text.\n" * 60),
    "text from HTML": compile_content("News for {{ name }}", LINKS, ""),
    "text from each result": compile_content("{{ name }}", LINKS + "<p {% if city %}id='x'{% endif %}>Bye</p>", ""),
}


def variables(number: int) -> dict[str, object]:
    """What one contact brings."""
    return {
        "name": f"Anna {number}",
        "city": "Leipzig",
        "address": f"anna{number}@example.test",
        "unsubscribe_url": f"https://mail.example/u/{number:044d}",
    }


def headers(number: int, subject: str) -> list[tuple[str, str]]:
    """The headers of a bulk mail, as sent."""
    return [
        ("Date", "Sun, 22 Nov 2026 12:00:00 +0000"),
        ("Message-ID", f"<{number:032x}@example.com>"),
        ("From", address_header("The Shop", "news@example.com")),
        ("To", address_header(f"Anna {number}", f"anna{number}@example.test")),
        ("Subject", text_header(subject)),
        ("List-Unsubscribe", f"<https://mail.example/u/{number:044d}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("List-Id", "News <list-1.example.com>"),
        ("Feedback-ID", "1:campaign:email-campaign"),
        ("Precedence", "bulk"),
    ]


def render(content: Content, number: int) -> object:
    """The first half of our way."""
    return content.render(variables(number))


def fast(content: Content, number: int) -> bytes:
    """Our way."""
    mail = content.render(variables(number))
    return assemble(headers(number, mail.subject), mail.text, mail.html, b"%d" % number)


def slow(content: Content, number: int) -> bytes:
    """The standard library's way."""
    mail = content.render(variables(number))
    message = EmailMessage(POLICY)
    for name, value in headers(number, mail.subject):
        message[name] = value
    message.set_content(mail.text)
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html")
    return message.as_bytes()


def microseconds(make: Callable[[int], object], mails: int) -> float:
    """The best of a few rounds, for one mail."""
    best = float("inf")
    gc.disable()
    for _ in range(ROUNDS):
        start = time.process_time()
        for number in range(mails):
            make(number)
        best = min(best, time.process_time() - start)
    gc.enable()
    return best / mails * 1e6


def run(_options: Options, report: Report) -> None:
    """Every kind of content: rendered alone, composed our way, and the standard library's way."""
    for name, content in CONTENTS.items():
        size = f"{len(fast(content, 1)):,} bytes"
        report.add(f"EmailMessage: {name}", microseconds(partial(slow, content), MAILS // 20), "µs a mail")
        report.add(f"render: {name}", microseconds(partial(render, content), MAILS), "µs a mail")
        ours = microseconds(partial(fast, content), MAILS)
        report.add(f"compose: {name}", ours, "µs a mail", against=f"EmailMessage: {name}", note=size)
