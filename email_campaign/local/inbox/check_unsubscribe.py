"""Checks of List-Unsubscribe: its syntax (RFC 2369) and the one click (RFC 8058)."""

import re
from collections.abc import Iterator

from email_campaign.local.inbox.check_links import judge
from email_campaign.local.inbox.finding import Fields, Finding, State, values_of, worst

ONE_CLICK = "List-Unsubscribe=One-Click"

_LIST = re.compile(r"\s*<[^<>]*>\s*(?:,\s*<[^<>]*>\s*)*")
_WHY = "Gmail and Yahoo show their unsubscribe button by it, and ask bulk senders for one; who finds none reports spam."


def check_unsubscribe(fields: Fields) -> Iterator[Finding]:
    """The header, the click, and whether a signature covers both."""
    values = values_of(fields, "list-unsubscribe")
    posts = values_of(fields, "list-unsubscribe-post")
    if not values:
        yield _missing(is_promised=bool(posts))
        return
    value = values[-1]
    syntax = _syntax(value)
    yield syntax
    links = re.findall("<([^<>]*)>", value)
    yield _one_click([link.strip() for link in links], posts)
    if posts and syntax.state != "wrong":
        yield _signature(fields)


def _missing(*, is_promised: bool) -> Finding:
    mend = "Add “List-Unsubscribe: <https://…>” and “List-Unsubscribe-Post: List-Unsubscribe=One-Click”."
    if is_promised:
        found = "There is List-Unsubscribe-Post, but no List-Unsubscribe."
        return Finding("wrong", "List-Unsubscribe", found, _WHY, mend)
    return Finding(
        "remark", "List-Unsubscribe", "There is none. A mail to one person about an order needs none.", _WHY, mend
    )


def _syntax(value: str) -> Finding:
    mend = "Write “<https://…>, <mailto:…>”: each address in angle brackets, with commas between."
    if "=?" in value and "?=" in value:
        found = "The header holds an encoded-word (=?…?=)."
        mend = "Write the address as it is, in ASCII; a long one is folded before or after it, never encoded."
        return Finding("wrong", "List-Unsubscribe", found, "RFC 2047 forbids it here, and no program decodes it.", mend)
    if not _LIST.fullmatch(value):
        found = f"The header is no list of addresses in angle brackets: “{value[:80]}”."
        return Finding("wrong", "List-Unsubscribe", found, "Programs ignore what does not keep to RFC 2369.", mend)
    links = re.findall("<([^<>]*)>", value)
    if any(re.search(r"\s", link.strip()) for link in links):
        found = "An address is folded in its middle: there is a blank in it."
        mend = "Fold the header before the “<”, not within the address."
        return Finding("wrong", "List-Unsubscribe", found, "Not every program takes the blank out again.", mend)
    judged = [_kind(link.strip()) for link in links]
    state = worst(state for state, _ in judged)
    found = (
        f"{'One address' if len(links) == 1 else f'{len(links)} addresses'}: {', '.join(words for _, words in judged)}."
    )
    return Finding(
        state, "List-Unsubscribe", found, *(() if state == "ok" else (_WHY, "Use an https or mailto address."))
    )


def _kind(link: str) -> tuple[State, str]:
    state, words = judge(link)
    scheme = link.partition(":")[0].lower()
    if scheme not in {"https", "http", "mailto"}:
        return "wrong", words if state == "wrong" else f"{scheme}, which does not work here"
    return state, words


def _one_click(links: list[str], posts: list[str]) -> Finding:
    why = (
        "By RFC 8058 the reader's program posts to the https address at once; Gmail and Yahoo ask bulk senders for it."
    )
    title = "One-click unsubscribe"
    if not posts:
        mend = f"Add “List-Unsubscribe-Post: {ONE_CLICK}”, and let the address take a POST."
        return Finding("remark", title, "There is no List-Unsubscribe-Post: the reader is led to a page.", why, mend)
    if posts[-1] != ONE_CLICK:
        found = f"List-Unsubscribe-Post says “{posts[-1][:60]}”."
        return Finding("wrong", title, found, why, f"Write exactly “{ONE_CLICK}”.")
    if any(link.lower().startswith("https://") for link in links):
        return Finding("ok", title, "Both headers are there, with an https address.")
    local = any(link.lower().startswith("http://") and "of this machine" in judge(link)[1] for link in links)
    mend = "Write an https address; for mail of this service set PUBLIC_URL to the one at which people reach it."
    if local:
        found = "Both headers are there, but the address is http and of this machine."
        return Finding("remark", title, found, why, mend)
    return Finding("wrong", title, "Both headers are there, but no address is https.", why, mend)


def _signature(fields: Fields) -> Finding:
    title = "Signature of the unsubscribe headers"
    why = "RFC 8058 wants a DKIM signature over both headers; without it no button is shown."
    signatures = values_of(fields, "dkim-signature")
    if not signatures:
        mend = "Nothing, if the relay signs; else set up DKIM (DKIM_DIR for mail of this service)."
        return Finding("remark", title, "The mail is not signed as it arrived here.", why, mend)
    for signature in signatures:
        found = re.search(r"(?:^|;)\s*h\s*=([^;]*)", signature)
        covered = {name.strip().lower() for name in found[1].split(":")} if found else set()
        if {"list-unsubscribe", "list-unsubscribe-post"} <= covered:
            return Finding("ok", title, "A DKIM signature names both headers. Whether it is valid is not checked here.")
    return Finding("wrong", title, "No DKIM signature names both headers.", why, "Add them to the signed headers (h=).")
