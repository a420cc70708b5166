"""DKIM: what we sign, a verifier of other people's making verifies; and no change of what was signed goes unseen."""

from datetime import UTC, datetime
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from email_campaign.content.dkim import Signer, find_signer, make_key
from email_campaign.errors import Conflict, Invalid

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
RSA = Signer("example.com", "mail", generate_private_key(public_exponent=65537, key_size=2048))
ED25519 = Signer("example.com", "ed", Ed25519PrivateKey.generate())
MESSAGE = (
    b"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.com>\r\nFrom: News <news@example.com>\r\n"
    b"To: a@x.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nList-Unsubscribe: <https://mail.example/u/1>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/alternative;\r\n boundary="x  y"\r\n\r\nHello  \r\n\r\n the\t world \r\n\r\n \r\n\r\n'
)


def verifies(message: bytes, signer: Signer) -> bool:
    """What another implementation says of the first signature."""

    def look_up(name: bytes, **_: object) -> bytes:
        assert name.decode().rstrip(".") == signer.record_name
        return signer.record.encode()

    return bool(dkim.verify(message, dnsfunc=look_up))


def test_a_signed_message_verifies() -> None:
    signed = RSA.sign(MESSAGE, NOW)
    assert signed.endswith(MESSAGE)
    assert verifies(signed, RSA)
    assert max(map(len, signed.split(b"\r\n"))) <= 998


@settings(max_examples=50, deadline=None)
@given(body=st.text("aZ \t.=ü\r\n\0", max_size=60), subject=st.text("aZ \t:;", max_size=20))
def test_any_body_and_any_spaces_verify(body: str, subject: str) -> None:
    lines = "\r\n".join(body.splitlines()).encode()
    message = MESSAGE.replace(b"Hello", lines).replace(b"News", b"a" + subject.encode() + b"a")
    assert verifies(RSA.sign(message, NOW), RSA)


def test_the_same_message_key_and_time_give_the_same_bytes() -> None:
    assert RSA.sign(MESSAGE, NOW) == RSA.sign(MESSAGE, NOW)
    assert ED25519.sign(MESSAGE, NOW) == ED25519.sign(MESSAGE, NOW)


@pytest.mark.parametrize("name", [b"From", b"To", b"Subject", b"Date", b"Message-ID", b"List-Unsubscribe"])
def test_a_changed_header_is_seen(name: bytes) -> None:
    signed = RSA.sign(MESSAGE, NOW)
    assert not verifies(signed.replace(b"\r\n" + name + b": ", b"\r\n" + name + b": x"), RSA)


def test_both_unsubscribe_headers_are_signed_and_a_second_from_is_seen() -> None:
    signed = RSA.sign(MESSAGE, NOW)
    assert b"list-unsubscribe:list-unsubscribe-post" in signed.split(b"bh=")[0]
    assert not verifies(signed.replace(b"From:", b"From: Else <else@example.com>\r\nFrom:"), RSA)


def test_a_changed_body_is_seen_and_spaces_at_the_end_of_lines_are_not() -> None:
    signed = RSA.sign(MESSAGE, NOW)
    assert not verifies(signed.replace(b"world", b"w0rld"), RSA)
    assert verifies(signed.replace(b"Hello  \r\n", b"Hello\r\n"), RSA)


def test_a_key_is_found_by_its_domain_and_the_last_selector_signs(tmp_path: Path) -> None:
    make_key(tmp_path, "example.com", "m2025")
    made = make_key(tmp_path, "example.com", "m2026")
    found = find_signer(tmp_path, "example.com")
    assert found
    assert (found.record_name, found.record) == ("m2026._domainkey.example.com", made.record)
    assert verifies(found.sign(MESSAGE, NOW), made)
    assert (tmp_path / "m2026._domainkey.example.com.pem").stat().st_mode & 0o777 == 0o600
    assert find_signer(tmp_path, "ample.com") is None
    assert find_signer(None, "example.com") is None


def test_a_key_is_never_overwritten_and_a_strange_selector_refused(tmp_path: Path) -> None:
    make_key(tmp_path, "example.com", "mail")
    with pytest.raises(Conflict, match="another selector"):
        make_key(tmp_path, "example.com", "mail")
    with pytest.raises(Invalid, match="letters, digits"):
        make_key(tmp_path, "example.com", "../mail")


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key_is_named(tmp_path: Path, pem: bytes) -> None:
    file = tmp_path / "mail._domainkey.example.com.pem"
    file.write_bytes(pem)
    with pytest.raises(Invalid, match=str(file)):
        find_signer(tmp_path, "example.com")


def test_an_ed25519_key_of_the_folder_signs(tmp_path: Path) -> None:
    pem = ED25519.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "ed._domainkey.example.com.pem").write_bytes(pem)
    found = find_signer(tmp_path, "example.com")
    assert found
    assert found.record == ED25519.record
    assert b"a=ed25519-sha256" in found.sign(MESSAGE, NOW)
