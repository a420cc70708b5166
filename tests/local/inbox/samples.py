"""The mails that were given to a real MailHog for recorded.json."""

import base64
from dataclasses import dataclass

_BINARY = base64.b64encode(bytes(range(256)) * 3).decode()
_PEOPLE = "From: Sender <sender@from.example>\r\nTo: Rcpt <rcpt@to.example>\r\n"


@dataclass(frozen=True)
class Sample:
    """What was sent, by whom, to whom."""

    data: str
    sender: str = "sender@from.example"
    recipients: tuple[str, ...] = ("rcpt@to.example",)


def _part(*headers: str, body: str) -> str:
    return "--b-mix\r\n" + "".join(f"{header}\r\n" for header in headers) + f"\r\n{body}\r\n"


_PLAIN = (
    _PEOPLE
    + "Subject: Plain text\r\nDate: Tue, 04 Mar 2025 10:00:00 +0000\r\nMessage-ID: <plain@from.example>\r\n"
    + "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n"
    + "\r\nHello needle-plain,\r\nsecond line.\r\n"
)

_ALTERNATIVE = (
    _PEOPLE
    + 'Subject: Alternative\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="b-alt"\r\n'
    + "\r\n--b-alt\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nneedle-alt text part"
    + "\r\n--b-alt\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>needle-alt <b>html</b> part</p>"
    + "\r\n--b-alt--\r\n"
)

_ATTACHMENT = (
    _PEOPLE
    + "Subject: Attachment\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b-mix\r\n"
    + "\r\nThis is the preamble.\r\n"
    + _part("Content-Type: text/plain", body="See the files.")
    + _part(
        'Content-Type: application/octet-stream; name="data.bin"',
        'Content-Disposition: attachment; filename="data.bin"',
        "Content-Transfer-Encoding: base64",
        "Content-ID: <part2@from.example>",
        body="\r\n".join(_BINARY[start : start + 76] for start in range(0, len(_BINARY), 76)),
    )
    + _part(
        "Content-Type: text/csv; charset=utf-8",
        'content-disposition: attachment; filename="näme.csv"',
        "Content-Transfer-Encoding: quoted-printable",
        body="a=3Db;c",
    )
    + _part(
        "Content-Type: image/gif",
        "Content-Transfer-Encoding: BASE64",
        body="R0lGODdhAQABAIABAAAAAP///ywAAAAAAQABAAACAkQBADs=",
    )
    + _part("Content-Type: image/png", "Content-Transfer-Encoding: base64", body="this is !!! not base64")
    + _part(body="A part without any header.")
    + "--b-mix--\r\nThis is the epilogue.\r\n"
)

_QUOTED_PRINTABLE = (
    _PEOPLE
    + "Subject: Quoted-printable\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    + "Content-Transfer-Encoding: quoted-printable\r\n"
    + "\r\nneedle-qp caf=C3=A9 =3D equals, a soft =\r\nbreak, trailing=20\r\n"
)

_ENCODED_WORDS = (
    "From: =?utf-8?Q?J=C3=B6rg?= <sender@from.example>\r\n"
    'To: =?utf-8?B?5pel5pys?= <rcpt@to.example>, "Comma, Inc." <second@to.example>\r\n'
    "Cc: =?iso-8859-1?Q?Andr=E9?= <cc@to.example>\r\n"
    "Subject: =?utf-8?B?5pel5pys6Kqe?= =?utf-8?Q?_caf=C3=A9?=\r\n\r\nEncoded words above.\r\n"
)

SAMPLES = {
    "plain": Sample(_PLAIN),
    "alternative": Sample(_ALTERNATIVE),
    "attachment": Sample(_ATTACHMENT),
    "quoted-printable": Sample(_QUOTED_PRINTABLE),
    "encoded-words": Sample(_ENCODED_WORDS, recipients=("rcpt@to.example", "second@to.example", "cc@to.example")),
    "utf8-address": Sample(_PLAIN, sender="sénder@from.example", recipients=("ünï@tö.example",)),
}
