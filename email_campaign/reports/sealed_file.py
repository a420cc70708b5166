"""Verifies a send log that was written long ago: whether it is what we wrote, and what it says. Needs no database."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.proof import Verdict
from email_campaign.reports.chain import Broken, Reader
from email_campaign.reports.sealed_log import FORMAT, key_name

MAX_LINE_BYTES = 8 * 1024 * 1024
"""Far above a line of ours, so that a strange file cannot fill the memory."""

_STRANGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What a line of somebody else's making may raise when it is read as one of ours."""


@dataclass(slots=True)
class Verified:
    """What a file comes to. `wrong_line` (from 1) is the first that is wrong; `words` say what was seen."""

    verdict: Verdict
    words: str
    wrong_line: int | None = None
    header: dict[str, Any] = field(default_factory=dict)
    footer: dict[str, Any] = field(default_factory=dict)


def verify(file: BinaryIO, key: bytes | None) -> Verified:
    """Read the file once, line by line, in flat memory. Without the key nobody can say who wrote it: not checked.

    The file holds when its chain is whole, its lines add up, its seal is ours and the proof in its footer held.
    """
    reader, header, footer = Reader(), dict[str, Any](), dict[str, Any]()
    states, position, number, attempts = Counter[str](), 0, 0, 0
    for number, line in enumerate(_lines(file), 1):
        try:
            record = reader.follow(line)
            if footer:
                raise Broken("it stands after the end.")
            if number == 1:
                header = _header(record)
            elif record.get("line") == "footer":
                footer = record
            else:
                position = _position(record, header, position)
                states[record["state"]] += 1
                attempts += len(record["attempts"])
        except Broken as broken:
            return Verified(Verdict.DOES_NOT_HOLD, f"Line {number:,} is wrong: {broken}", number, header)
        except _STRANGE:
            words = f"Line {number:,} is wrong: it is not as we write it."
            return Verified(Verdict.DOES_NOT_HOLD, words, number, header)
    if not number:
        return Verified(Verdict.NOT_CHECKED, "The file is empty.")
    if not footer:
        words = f"The end is missing: the file breaks off after line {number:,}."
        return Verified(Verdict.DOES_NOT_HOLD, words, number + 1, header)
    verified = Verified(Verdict.HOLDS, "", None, header, footer)
    try:
        _judge_end(verified, (states, attempts), reader, key, number)
    except _STRANGE:
        return Verified(Verdict.DOES_NOT_HOLD, "The last line is not as we write it.", number, header)
    return verified


def _judge_end(
    verified: Verified, read: tuple[Counter[str], int], reader: Reader, key: bytes | None, number: int
) -> None:
    """The footer: does it count what was read, is it sealed, and did the proof hold?"""
    header, footer = verified.header, verified.footer
    states, attempts = read
    counts = {state.value: states[state.value] for state in DeliveryState}
    if (footer["deliveries"], footer["attempts"], footer["states"]) != (states.total(), attempts, counts):
        verified.verdict, verified.wrong_line = Verdict.DOES_NOT_HOLD, number
        verified.words = "The last line counts other copies than stand in the file."
    elif key is None:
        verified.verdict = Verdict.NOT_CHECKED
        verified.words = "The chain is whole, but without SECRET_KEY nobody can say whether it was made anew."
    elif header["key"] != key_name(key):
        verified.verdict = Verdict.NOT_CHECKED
        verified.words = "The chain is whole, but it was sealed with another SECRET_KEY than the one that is set here."
    elif not reader.is_sealed(key):
        verified.verdict, verified.wrong_line = Verdict.DOES_NOT_HOLD, number
        verified.words = "The seal is not ours: the file was changed, and its chain made anew."
    else:
        verified.verdict = Verdict(footer["verdict"])
        verified.words = "The file is as we wrote it." + (f" {footer['note']}" if footer["note"] else "")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES):
        yield line


def _header(record: dict[str, Any]) -> dict[str, Any]:
    if record.get("format") != FORMAT:
        raise Broken(f"this is no file of the format “{FORMAT}”.")
    return record


def _position(record: dict[str, Any], header: dict[str, Any], before: int) -> int:
    """The position of the line's delivery, which must be one of the campaign, after the one before."""
    campaign, _, position = record["delivery"].partition("-")
    if record["line"] != "delivery" or campaign != str(header["campaign"]) or int(position) <= before:
        raise Broken("it is not the next delivery of this campaign.")
    return int(position)
