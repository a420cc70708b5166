"""What a relay's reply means: replies are parsed and judged by phase, code and enhanced code."""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

TEXT_CHARACTERS = 1_000
# Enough bytes for the code, the enhanced code and 1,000 characters of four bytes.
LINE_BYTES = 4_096


class Phase(enum.StrEnum):
    """The step of a transaction: connect to body in the order of RFC 5321 (body: from its first byte to the reply to
    the final dot), then those that happen off the wire."""

    CONNECT = "connect"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    RENDER = "render"
    SWEEP = "sweep"
    HAND = "hand"


class Reply(NamedTuple):
    """A reply without its codes. `code` is 0 when the line carries none; `text` is fit for Postgres and for a page."""

    code: int
    enhanced: str | None
    text: str


class Outcome(enum.StrEnum):
    """What became of the step; after the body, of the mail. Only an accepted *body* is an accepted mail."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class Blame(enum.StrEnum):
    """Who must change something for it to go better."""

    RECIPIENT = "recipient"
    SENDER = "sender"
    RELAY = "relay"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from a reply or a drop.

    `suppress`: the address is dead, mail it no more. `spared`: the recipient's retries do not count this attempt.
    `hangup`: the connection must be closed. `credentials_refused`: the relay wants other credentials, or TLS.
    """

    outcome: Outcome
    reason: str
    blame: Blame
    suppress: bool = False
    spared: bool = False
    hangup: bool = False
    credentials_refused: bool = False


def parse_reply(lines: Sequence[bytes]) -> Reply:
    """Parse the lines of one reply (RFC 5321 4.2.1), with or without line ends. Never raises.

    An enhanced code (RFC 2034, RFC 3463) whose class is not the code's first digit is left in the text.
    """
    code, enhanced, texts = 0, None, []
    for line in lines:
        digits, text = _split(line)
        code = digits or code
        if (found := _ENHANCED.match(text)) and found[1][0] == str(code)[0]:
            enhanced = enhanced or found[1]
            text = text[found.end() :]
        texts.append(text.strip())
    return Reply(code, enhanced, " ".join(filter(None, texts))[:TEXT_CHARACTERS])


def own_words(text: str) -> Reply:
    """What we say ourselves where no relay spoke: without a code, and fit for Postgres and for a page."""
    return Reply(0, None, _clean(text.encode("utf-8", "replace"))[:TEXT_CHARACTERS])


def judge(phase: Phase, reply: Reply) -> Verdict:
    """The verdict on any reply to any step (RFC 5321 4.2, RFC 3463). An accepted step only means: go on."""
    if reply.code == 354 if phase is Phase.DATA else 200 <= reply.code < 300:
        return _ACCEPTED
    if reply.code in _CREDENTIALS:
        return _AUTH
    if phase is Phase.CONNECT:
        # No recipient was named yet, so even a 554 greeting says nothing about one.
        return _CLOSED if reply.code == 421 else _UNAVAILABLE
    if reply.code == 421:
        # RFC 5321 4.5.2 lets it come at any point. After the dot it is a definite answer about this mail.
        return replace(_CLOSED, spared=phase is not Phase.BODY)
    if 400 <= reply.code < 500:
        return _judge_temporary(phase, reply)
    if 500 <= reply.code < 600:
        return _judge_permanent(phase, reply)
    # Not an answer to this step (RFC 5321 4.3.2): client and server are out of step. After the body the true answer
    # may still be on its way, and may be a 250.
    return _LOST_STEP if phase is Phase.BODY else _PROTOCOL


def judge_drop(phase: Phase, error: str) -> Verdict:
    """The verdict on a connection that broke or timed out: before the body harmless, from its first byte on unknown.

    `error` is the exception's text; it only chooses between the reasons 'timeout' and 'closed'.
    """
    reason = "timeout" if re.search("time(d )?out", error, re.IGNORECASE) else "closed"
    if phase in {Phase.BODY, Phase.SWEEP, Phase.HAND}:
        return Verdict(Outcome.UNKNOWN, reason, Blame.RELAY, hangup=True)
    return Verdict(Outcome.DEFERRED, reason, Blame.RELAY, spared=True, hangup=True)


def is_complaint(verdict: Verdict, reply: Reply) -> bool:
    """Whether the relay says that it is too much at once: a 421, a 4.7.28, or a connection that it drops early."""
    if verdict.outcome is not Outcome.DEFERRED or verdict.credentials_refused:
        return False
    return reply.code == 421 or reply.enhanced == "4.7.28" or (verdict.spared and verdict.blame is Blame.RELAY)


_LINE = re.compile(rb"([0-9]{3})(?:[ -]|$)")
_ENHANCED = re.compile(r"\s*([245]\.(?:0|[1-9][0-9]{0,2})\.(?:0|[1-9][0-9]{0,2}))(?![0-9.])")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")

# 530 authentication or TLS required, 534 mechanism too weak, 535 invalid, 538 needs encryption (RFC 4954).
_CREDENTIALS = frozenset({530, 534, 535, 538})

# Unknown or misplaced commands: what follows on this connection cannot be trusted.
_OUT_OF_STEP = frozenset({500, 502, 503, 504})

_ACCEPTED = Verdict(Outcome.ACCEPTED, "accepted", Blame.RELAY)
_AUTH = Verdict(Outcome.DEFERRED, "auth", Blame.RELAY, spared=True, hangup=True, credentials_refused=True)
_CLOSED = Verdict(Outcome.DEFERRED, "closed", Blame.RELAY, spared=True, hangup=True)
_UNAVAILABLE = Verdict(Outcome.DEFERRED, "unavailable", Blame.RELAY, spared=True, hangup=True)
_PROTOCOL = Verdict(Outcome.DEFERRED, "protocol", Blame.RELAY, hangup=True)
_LOST_STEP = Verdict(Outcome.UNKNOWN, "protocol", Blame.RELAY, hangup=True)

# By subject and detail, then by subject alone (RFC 3463, and the IANA registry of RFC 5248). 5.5 is missing on purpose:
# large mailbox providers answer "550 5.5.0 mailbox unavailable", so there the code alone speaks.
_TEMPORARY = {
    "1": ("bad_address", Blame.RECIPIENT),
    "2": ("mailbox_unavailable", Blame.RECIPIENT),
    "2.2": ("mailbox_full", Blame.RECIPIENT),
    "3": ("relay_busy", Blame.RELAY),
    "4": ("unreachable", Blame.RECIPIENT),
    "5": ("throttled", Blame.RELAY),
    "6": ("content", Blame.SENDER),
    "7": ("greylisted", Blame.RECIPIENT),
    "7.28": ("throttled", Blame.SENDER),
}
_TEMPORARY_CODES = {
    450: ("greylisted", Blame.RECIPIENT),
    452: ("throttled", Blame.RELAY),
    454: ("relay_busy", Blame.RELAY),
}
_PERMANENT = {
    "1": ("hard_bounce", Blame.RECIPIENT),
    "1.7": ("sender_address", Blame.SENDER),
    "1.8": ("sender_address", Blame.SENDER),
    "2": ("mailbox_unavailable", Blame.RECIPIENT),
    "2.1": ("hard_bounce", Blame.RECIPIENT),
    "2.2": ("mailbox_full", Blame.RECIPIENT),
    "2.3": ("too_large", Blame.SENDER),
    "3": ("relay_fault", Blame.RELAY),
    "3.4": ("too_large", Blame.SENDER),
    "4": ("unreachable", Blame.RECIPIENT),
    "6": ("content", Blame.SENDER),
    "7": ("policy", Blame.SENDER),
}
_PERMANENT_CODES = {
    501: ("bad_address", Blame.RECIPIENT),
    550: ("no_such_mailbox", Blame.RECIPIENT),
    551: ("no_such_mailbox", Blame.RECIPIENT),
    552: ("mailbox_full", Blame.RECIPIENT),
    553: ("bad_address", Blame.RECIPIENT),
    555: ("protocol", Blame.RELAY),
    556: ("bad_address", Blame.RECIPIENT),
}


def _split(line: bytes) -> tuple[int, str]:
    """The code (0 if none) and the text, in which nothing is left that Postgres or a terminal would choke on."""
    line = line[:LINE_BYTES].rstrip(b"\r\n")
    found = _LINE.match(line)
    text = line[4:] if found else line
    return int(found[1]) if found else 0, _clean(text)


def _clean(text: bytes) -> str:
    words = text.decode("utf-8", "replace")
    return words if words.isprintable() else _CONTROLS.sub("\ufffd", words.replace("\t", " "))


def _judge_temporary(phase: Phase, reply: Reply) -> Verdict:
    reason, blame = (
        _by_enhanced(_TEMPORARY, reply.enhanced)
        or _TEMPORARY_CODES.get(reply.code)
        or ("try_later", Blame.SENDER if phase is Phase.MAIL else Blame.RECIPIENT)
    )
    if phase is Phase.MAIL and blame is Blame.RECIPIENT:
        blame = Blame.SENDER
    return Verdict(Outcome.DEFERRED, reason, blame)


def _judge_permanent(phase: Phase, reply: Reply) -> Verdict:
    if reply.code in _OUT_OF_STEP:
        return Verdict(Outcome.REJECTED, "protocol", Blame.RELAY, hangup=True)
    named = _by_enhanced(_PERMANENT, reply.enhanced)
    if phase is Phase.MAIL:
        # The recipient is not known to the relay yet.
        reason = named[0] if named and named[1] is not Blame.RECIPIENT else "sender_address"
        return Verdict(Outcome.REJECTED, reason, Blame.SENDER)
    if named:
        reason, blame = named
        return Verdict(Outcome.REJECTED, reason, blame, suppress=reason == "hard_bounce")
    if phase is Phase.BODY and reply.code in {550, 554}:
        # The recipient was taken at RCPT: what displeases now is the message.
        return Verdict(Outcome.REJECTED, "content", Blame.SENDER)
    reason, blame = _PERMANENT_CODES.get(reply.code, ("refused", Blame.RECIPIENT))
    return Verdict(Outcome.REJECTED, reason, blame)


def _by_enhanced(table: dict[str, tuple[str, Blame]], enhanced: str | None) -> tuple[str, Blame] | None:
    if enhanced is None:
        return None
    _, subject, detail = enhanced.split(".")
    return table.get(f"{subject}.{detail}") or table.get(subject)
