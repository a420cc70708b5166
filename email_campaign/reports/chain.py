"""The chain of a file of JSON lines: each line holds the hash of all before it, and the last one a seal. Pure.

A line is a JSON object in UTF-8 without spaces whose last member is `chain`: the SHA-256, in hexadecimal, over the 32
bytes of the chain before (zeros at first) and the bytes of the line without that member. Whoever changes, removes,
adds or moves a line breaks the chain there. That the chain was not simply made anew says the seal: the last line's
member before its chain, an HMAC-SHA256 under a key of ours over the chain before and that line without seal and chain.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

START = bytes(32)
_HEX = 64
_CHAIN = b',"chain":"'
_SEAL = b',"seal":"'
_END = b'"}'


class Broken(Exception):
    """The line is not one of this chain at this place."""


class Chain:
    """A chain that grows line by line."""

    def __init__(self) -> None:
        self._value = START

    def line(self, record: Mapping[str, Any]) -> bytes:
        """The next line, with its line end."""
        return self._append(_canonical(record))

    def last_line(self, record: Mapping[str, Any], key: bytes) -> bytes:
        """The last line, sealed."""
        body = _canonical(record)
        seal = hmac.new(key, self._value + body, "sha256").hexdigest()
        return self._append(body[:-1] + _SEAL + seal.encode() + _END)

    def _append(self, body: bytes) -> bytes:
        self._value = hashlib.sha256(self._value + body).digest()
        return body[:-1] + _CHAIN + self._value.hex().encode() + _END + b"\n"


class Reader:
    """Follows a chain line by line."""

    def __init__(self) -> None:
        self._value = self._before = START
        self._body = b""

    def follow(self, line: bytes) -> dict[str, Any]:
        """The record of the next line, without its chain. Raises Broken for what does not follow the line before."""
        self._body, chain = _split(line.removesuffix(b"\n"), _CHAIN)
        if not line.endswith(b"\n") or not chain:
            raise Broken("it is not a whole line of this file.")
        self._before, self._value = self._value, hashlib.sha256(self._value + self._body).digest()
        if self._value.hex().encode() != chain:
            raise Broken("it was changed, or is not the line that stood here.")
        record: dict[str, Any] = json.loads(self._body)
        return record

    def is_sealed(self, key: bytes) -> bool:
        """Whether the line that was followed last is sealed with this key."""
        body, seal = _split(self._body, _SEAL)
        return hmac.compare_digest(hmac.new(key, self._before + body, "sha256").hexdigest().encode(), seal)


def _canonical(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _split(line: bytes, member: bytes) -> tuple[bytes, bytes]:
    """The line without its last member, and that member's value; empty where it is not the last."""
    size = len(member) + _HEX + len(_END)
    tail = line[-size:]
    if not (tail.startswith(member) and tail.endswith(_END)):
        return line, b""
    return line[:-size] + b"}", tail[len(member) : -len(_END)]
