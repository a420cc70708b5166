"""Passwords: argon2id hashes, and how long a password must be."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from email_campaign.errors import Invalid

MIN_CHARACTERS = 10
MAX_CHARACTERS = 1000
"""What is longer would only cost time to hash."""

# OWASP's first choice for a server: 19 MiB and about 20 ms each, so that forty sign-ins at once fit into memory.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def hash_new(field: str, password: str) -> str:
    """The hash of a password that somebody chose. Raises Invalid that names `field`."""
    if len(password) < MIN_CHARACTERS:
        raise Invalid.field(field, f"The password needs at least {MIN_CHARACTERS} characters.")
    if len(password) > MAX_CHARACTERS:
        raise Invalid.field(field, f"The password may have at most {MAX_CHARACTERS:,} characters.")
    return hash_again(password)


def hash_again(password: str) -> str:
    """The hash of a password that was accepted before, with today's settings."""
    return _HASHER.hash(password)


def verify(password_hash: str | None, password: str) -> bool:
    """Whether the password is right; takes as long without a hash as with one."""
    if len(password) > MAX_CHARACTERS:
        return False
    try:
        return _HASHER.verify(password_hash or _nobodys_hash(), password) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(password_hash: str) -> bool:
    """Whether the hash was made with other settings than today's."""
    return _HASHER.check_needs_rehash(password_hash)


@cache
def _nobodys_hash() -> str:
    return _HASHER.hash("nobody has this password")
