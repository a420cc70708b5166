"""The part that is a file: its name for new and for old programs, its type, its lines."""

import email
from email.message import EmailMessage
from email.policy import default

import pytest

from email_campaign.content.mime import Enclosed
from email_campaign.content.parts import attached_part, text_part


def read(part: tuple[bytes, ...]) -> EmailMessage:
    return email.message_from_bytes(b"".join(part), policy=default)


@pytest.mark.parametrize(
    ("name", "disposition", "older"),
    [
        ("prices.pdf", b'filename="prices.pdf"', "prices.pdf"),
        ("Our prices (2).pdf", b'filename="Our prices (2).pdf"', "Our prices (2).pdf"),
        ("Öl.pdf", b"filename*=utf-8''%C3%96l.pdf", "Ol.pdf"),
        ("漢字.pdf", b"filename*=utf-8''%E6%BC%A2%E5%AD%97.pdf", "file.pdf"),
        ('a"b\\c.txt', b"filename*=utf-8''a%22b%5Cc.txt", "a_b_c.txt"),
        ("=?utf-8?q?x?=", b"filename*=utf-8''%3D%3Futf-8%3Fq%3Fx%3F%3D", "__utf-8_q_x__"),
        ("a\r\nBcc: x@y.z", b"filename*=utf-8''a%0D%0ABcc%3A%20x%40y.z", "a__Bcc_ x@y.z"),
    ],
)
def test_a_name_is_told_in_the_place_of_today_and_in_the_older_one(name: str, disposition: bytes, older: str) -> None:
    part = attached_part(name, "application/pdf", [b"x"])
    assert b"Content-Disposition: attachment;\r\n " + disposition + b"\r\n" in part[0]
    parsed = read(part)
    assert parsed.get_filename() == name
    assert parsed["Content-Type"].params["name"] == older


def test_a_long_name_comes_in_sections_that_end_with_a_character() -> None:
    name = "Preisübersicht " * 12 + ".pdf"
    part = attached_part(name, "application/pdf", [b"x"])
    assert b"filename*0*=utf-8''" in part[0]
    assert max(map(len, part[0].split(b"\r\n"))) <= 78
    assert read(part).get_filename() == name


@pytest.mark.parametrize("kind", ["message/rfc822", "multipart/mixed", "text/html\r\nBcc: x", "text", "", "a/b; x=y"])
def test_a_type_that_cannot_stand_there_is_any_type(kind: str) -> None:
    assert read(attached_part("a.bin", kind, [b"x"])).get_content_type() == "application/octet-stream"


def test_the_words_of_a_contact_end_no_part() -> None:
    parts = [attached_part("a.txt", "text/plain", [b"A"])]
    enclosed = Enclosed(parts, b"12")
    own, behind = enclosed.enclose(b"", text_part(b"plain", "Hello"))
    boundary = own.split(b'"')[1].decode()
    attack = f"\r\n--{boundary}\r\nContent-Type: text/html\r\n\r\nyours\r\n--{boundary}--\r\n"
    other, other_behind = enclosed.enclose(b"", text_part(b"plain", attack))
    parsed = read((other, *other_behind))
    assert [part.get_content_type() for part in parsed.walk()] == ["multipart/mixed", "text/plain", "text/plain"]
    assert enclosed.enclose(b"", text_part(b"plain", "Hello")) == (own, behind)
