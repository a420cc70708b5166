"""Keys and short tokens: everything that proves "we made this" is an HMAC-SHA256 under a key of its own purpose."""

import base64
import hashlib
import hmac
from functools import lru_cache

MAC_BYTES = 16
"""128 bits: RFC 2104 section 5 asks for at least half of the hash's length."""


def derive_key(secret: str, purpose: str) -> bytes:
    """A key that is good for one purpose only, so that a token of one kind is never taken for another."""
    return hmac.digest(secret.encode(), b"email-campaign:" + purpose.encode(), "sha256")


def sign(key: bytes, payload: bytes) -> str:
    """URL-safe `payload + MAC` without padding: 22 characters longer than the payload."""
    return _encode(payload + _mac(key, payload))


def unsign(key: bytes, token: str) -> bytes | None:
    """The payload of a token that `sign` made with this key, or None for anything else."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    payload, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    # The last base64 digit has spare bits: only the spelling that we gave out counts.
    genuine = hmac.compare_digest(mac, _mac(key, payload)) and _encode(raw) == token
    return payload if genuine else None


def keyed_hash(key: bytes, text: str) -> bytes:
    """16 bytes that stand for a text without revealing it."""
    return _mac(key, text.encode())


def token_hash(token: str) -> bytes:
    """What is stored of a random secret (session, API token): its SHA-256; random secrets need no salt."""
    return hashlib.sha256(token.encode()).digest()


def _mac(key: bytes, payload: bytes) -> bytes:
    # Not hmac.digest: it lets go of the interpreter lock for a few bytes, and getting it back costs 100 µs under load.
    mac = _keyed(key).copy()
    mac.update(payload)
    return mac.digest()[:MAC_BYTES]


@lru_cache(64)
def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha256")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
