"""E-mail addresses: one function normalises, and everything else compares the result (RFC 5321, 5890, 6531)."""

import re
from functools import lru_cache

import idna

from email_campaign.signing import keyed_hash

MAX_LOCAL_BYTES = 64  # RFC 5321 4.5.3.1.1
MAX_DOMAIN_BYTES = 255  # RFC 5321 4.5.3.1.2
MAX_ADDRESS_BYTES = 254  # RFC 5321 4.5.3.1.3, less the angle brackets (RFC 3696 erratum 1690)

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")  # RFC 5322 3.2.3
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class BadAddress(ValueError):
    """The text is no address that we can mail; the message says why."""


def normalise(text: str) -> str:
    """The one spelling under which an address is stored, compared, hashed and mailed.

    Surrounding blanks go; the domain becomes lower-case ASCII (IDNA 2008 with UTS 46 mapping); the local part becomes
    lower-case too: RFC 5321 2.4 lets a host tell cases apart, none that matters does, and people are not mailed twice.
    Raises BadAddress. Quoted local parts, address literals and non-ASCII local parts are refused: few relays take them.
    """
    text = text.strip(" \t")
    if not text:
        raise BadAddress("The address is empty.")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise BadAddress("The address contains a line break or another control character.")
    local, at, domain = text.rpartition("@")
    if not at or not local:
        raise BadAddress("The address needs the form name@domain.")
    if "@" in local:
        raise BadAddress("The address has more than one @.")
    if not local.isascii():
        raise BadAddress("The part before the @ must be ASCII.")
    if not _DOT_ATOM.fullmatch(local):
        raise BadAddress("The part before the @ has a character or a dot in a place that is not allowed.")
    if len(local) > MAX_LOCAL_BYTES:
        raise BadAddress("The part before the @ is longer than 64 characters.")
    address = f"{local.lower()}@{_normalise_domain(domain)}"
    if len(address) > MAX_ADDRESS_BYTES:
        raise BadAddress("The address is longer than 254 characters.")
    return address


def domain_of(address: str) -> str:
    """The domain of a normalised address."""
    return address.rpartition("@")[2]


@lru_cache(65_536)
def in_own_script(domain: str) -> str:
    """A normalised domain as its owner writes it: `bücher.example`. For people only; what is no IDNA stays as it is."""
    if "xn--" not in domain:
        return domain
    try:
        return str(idna.decode(domain))
    except (idna.IDNAError, UnicodeError):
        return domain


def address_hash(key: bytes, address: str) -> bytes:
    """16 bytes that stand for a normalised address, also after the person was erased."""
    return keyed_hash(key, address)


@lru_cache(65_536)  # IDNA costs ten times the rest, and a list has few domains
def _normalise_domain(domain: str) -> str:
    if domain.startswith("["):
        raise BadAddress("An IP address in place of the domain is not supported.")
    domain = domain.removesuffix(".")
    try:
        ascii_domain = idna.encode(domain, uts46=True).decode().lower()
    except idna.IDNAError:
        # IDNA 2008 refuses what is in use all the same (`--` in third place): plain ASCII is judged below.
        ascii_domain = domain.lower()
    labels = ascii_domain.split(".")
    if len(labels) < 2:
        raise BadAddress("The domain needs a dot, as in example.com.")
    if len(ascii_domain) > MAX_DOMAIN_BYTES or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadAddress("The domain is not a valid host name.")
    if labels[-1].isdigit():
        raise BadAddress("The domain ends in a number.")
    return ascii_domain
