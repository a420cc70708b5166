"""Microseconds a mail: rendering and assembling, beside the same mail made with EmailMessage."""

import gc
import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from functools import partial

from bench.options import Options
from bench.report import Report
from email_campaign.content.language import Content, compile_content
from email_campaign.content.parts import attached_part
from email_campaign.delivery.compose import Keys, Letterhead, Message, Press

MAILS = 5_000
ROUNDS = 5
POLICY = SMTP.clone(max_line_length=998)
START = datetime(2026, 11, 22, 12, tzinfo=UTC)
UNSUBSCRIBE = "https://mail.example/u/{:034d}"

PARAGRAPH = (
    '<p style="margin:0 0 12px;font-family:Arial,sans-serif">We have made the {season} edition ready for you, '
    "with {more} and a few things that we have never shown before. Have a look while they last.</p>\n"
)
BODY = "".join(PARAGRAPH.format(season=season, more="more for the house") for season in ["spring", "summer"] * 8)
LINK = '<p><a href="https://shop.example/item/{n}?utm=mail&amp;c={{{{ city|urlencode }}}}">Item {n}</a></p>\n'
OWN = (
    '<p><a href="https://shop.example/offer?n={{ name|urlencode }}">Your offer</a> and '
    '<a href="https://shop.example/basket?c={{ city|urlencode }}">your basket</a></p>\n'
)
FOOT = '<p>To {{ address }}. <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>\n'
TEXT = "Hello {{ name }},\n\nthe new edition is ready in {{ city }}.\n\nUnsubscribe: {{ unsubscribe_url }}\n"
HTML = "<html><body><h1>Hello {{ name }}</h1>\n" + BODY + OWN + FOOT + "</body></html>\n"
NEAR = "{% if city == 'Leipzig' %}<p>We are near you.</p>{% else %}<p>We are far away.</p>{% endif %}\n"
LINKS = HTML.replace(FOOT, "".join(LINK.format(n=n) for n in range(20)) + FOOT)

ATTACHED = "with an attachment"
FILE = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(3_125))
"""100 kB that cannot be made smaller, as most attachments."""

CONTENTS = {
    "plain": compile_content("News for {{ name }}", "", TEXT + "More of the same text.\n" * 60),
    "two parts": compile_content("News for {{ name }}", HTML, TEXT + "More of the same.\n" * 100),
    "two parts, ü": compile_content("Grüße für {{ name }}", HTML.replace("ready", "für Sie"), TEXT + "Grüße.\n" * 100),
    "20 links": compile_content("News for {{ name }}", LINKS, TEXT + "More of the same text.\n" * 60),
    "with a condition": compile_content("News for {{ name }}", HTML.replace(OWN, NEAR + OWN), TEXT),
    "text from HTML": compile_content("News for {{ name }}", LINKS, ""),
    ATTACHED: compile_content("News for {{ name }}", HTML, TEXT),
    "text from each result": compile_content("{{ name }}", LINKS + "<p {% if city %}id='x'{% endif %}>Bye</p>", ""),
}


def press_of(content: Content, file: bytes = b"") -> Press:
    """The press of a campaign that says this and carries this file."""
    letterhead = Letterhead(
        mailing_id=12,
        kind="campaign",
        campaign_name="Spring",
        from_name="The Shop",
        from_address="news@example.com",
        reply_to="help@example.com",
        list_ids=(1,),
        list_name="News",
        public_url="https://mail.example",
        content=content,
        attached=(attached_part("prices.pdf", "application/pdf", [file]),) if file else (),
    )
    return Press(letterhead, Keys(message_id=b"m" * 32, unsubscribe=b"u" * 32, address=b"a" * 32))


def recipient(number: int) -> dict[str, object]:
    """What one contact brings."""
    return {"name": f"Anna {number}", "city": "Leipzig", "plan": "gold", "address": f"anna{number}@example.test"}


def render(content: Content, number: int) -> object:
    """The first half of our way."""
    return content.render({**recipient(number), "unsubscribe_url": UNSUBSCRIBE.format(number)})


def fast(press: Press, number: int) -> tuple[Message, bytes]:
    """Our way, with the hash that the attempt keeps."""
    message = press.compose(number, recipient(number), START + timedelta(microseconds=100 * number))
    return message, message.sha256


def slow(content: Content, file: bytes, number: int) -> bytes:
    """The standard library's way."""
    unsubscribe_url = UNSUBSCRIBE.format(number)
    mail = content.render({**recipient(number), "unsubscribe_url": unsubscribe_url})
    message = EmailMessage(POLICY)
    message["Date"] = START
    message["Message-ID"] = f"<{number:032x}@example.com>"
    message["From"] = "The Shop <news@example.com>"
    message["To"] = f"Anna {number} <anna{number}@example.test>"
    message["Subject"] = mail.subject
    message["Reply-To"] = "help@example.com"
    message["List-Unsubscribe"] = f"<{unsubscribe_url}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["List-Id"] = "News <list-1.example.com>"
    message["Feedback-ID"] = "12:campaign:email-campaign"
    message["Precedence"] = "bulk"
    message.set_content(mail.text)
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html")
    if file:
        message.add_attachment(file, maintype="application", subtype="pdf", filename="prices.pdf")
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
        file = FILE if name == ATTACHED else b""
        press = press_of(content, file)
        size = f"{len(fast(press, 1)[0].data):,} bytes"
        report.add(f"EmailMessage: {name}", microseconds(partial(slow, content, file), MAILS // 20), "µs a mail")
        report.add(f"render: {name}", microseconds(partial(render, content), MAILS), "µs a mail")
        ours = microseconds(partial(fast, press), MAILS)
        report.add(f"compose: {name}", ours, "µs a mail", against=f"EmailMessage: {name}", note=size)
