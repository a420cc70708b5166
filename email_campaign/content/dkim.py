"""DKIM signatures (RFC 6376, RFC 8463): keys stand in a folder, each in a file that is named like its DNS record."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from email_campaign.errors import Conflict, Invalid

KEY_BITS = 2048
SIGNED = (
    "From To Reply-To Subject Date Message-ID MIME-Version Content-Type Content-Transfer-Encoding List-Id"
    " List-Unsubscribe List-Unsubscribe-Post Feedback-ID Precedence Auto-Submitted"
).lower().split()  # fmt: skip
"""Headers that are signed when the message has them (RFC 6376 5.4.1; RFC 8058 section 4 asks for both List- ones)."""

_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9-]+)*")


@dataclass(frozen=True, slots=True)
class Signer:
    """The key of one sending domain."""

    domain: str
    selector: str
    key: RSAPrivateKey | Ed25519PrivateKey

    @property
    def record_name(self) -> str:
        """Where receivers look the public key up."""
        return _record_name(self.selector, self.domain)

    @property
    def record(self) -> str:
        """The TXT record that must stand there (RFC 6376 3.6.1)."""
        public = self.key.public_key()
        if isinstance(self.key, Ed25519PrivateKey):
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            return f"v=DKIM1; k=ed25519; p={base64.b64encode(raw).decode()}"
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"

    def sign(self, message: bytes, now: datetime, behind: Sequence[bytes] = ()) -> bytes:
        """The message with its DKIM-Signature in front. The same message, key and time give the same bytes.

        `behind`: the pieces that follow, which the signature covers; they are whole lines, relaxed as they stand.
        """
        head, _, body = message.partition(b"\r\n\r\n")
        fields = _fields(head)
        names = [name for name in SIGNED if name.encode() in fields]
        algorithm = "ed25519-sha256" if isinstance(self.key, Ed25519PrivateKey) else "rsa-sha256"
        tags = (
            f"v=1; a={algorithm}; c=relaxed/relaxed; d={self.domain}; s={self.selector}; t={int(now.timestamp())};",
            # From stands twice, so that nobody can add a second one (RFC 6376 8.15).
            f"h={':'.join(names)}:from;",
            f"bh={base64.b64encode(_body_hash(body, behind)).decode()};",
            "b=",
        )
        signed = b"".join(b"%b:%b\r\n" % (name.encode(), fields[name.encode()]) for name in names)
        signature = base64.b64encode(self._signature(signed + b"dkim-signature:" + " ".join(tags).encode()))
        return b"DKIM-Signature: %b%b\r\n%b" % ("\r\n ".join(tags).encode(), signature, message)

    def _signature(self, signed: bytes) -> bytes:
        if isinstance(self.key, Ed25519PrivateKey):
            return self.key.sign(sha256(signed).digest())  # RFC 8463 section 3
        return self.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())


def find_signer(folder: Path | None, domain: str) -> Signer | None:
    """The signer of a domain: the last by name of its keys; None when the folder has none. Raises Invalid."""
    if folder is None:
        return None
    ending = f"._domainkey.{domain}.pem"
    files = sorted(file for file in folder.glob("*.pem") if file.name.endswith(ending))
    return _read(files[-1], files[-1].name.removesuffix(ending), domain) if files else None


def make_key(folder: Path, domain: str, selector: str) -> Signer:
    """A new RSA key in the folder, readable by its owner alone. Raises Invalid, and Conflict when it is there."""
    if not _SELECTOR.fullmatch(selector):
        raise Invalid(f"A selector is made of letters, digits and hyphens, such as mail2026, and not {selector!r}.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / f"{_record_name(selector, domain)}.pem"
    key = generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        file.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise Conflict(
            f"{file} is there already. Choose another selector, and leave that key to what it signed."
        ) from None
    file.write_bytes(pem)
    return Signer(domain, selector, key)


def _read(file: Path, selector: str, domain: str) -> Signer:
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise Invalid(
            f"The DKIM key {file} cannot be read: {error}. It must be a PEM file without a password."
        ) from None
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise Invalid(f"The DKIM key {file} must be an RSA or an Ed25519 key (RFC 8463).")
    if isinstance(key, RSAPrivateKey) and key.key_size < 1024:
        raise Invalid(f"The DKIM key {file} has {key.key_size} bits; receivers want 1,024 at least (RFC 8301).")
    return Signer(domain, selector, key)


def _record_name(selector: str, domain: str) -> str:
    return f"{selector}._domainkey.{domain}"


def _fields(head: bytes) -> dict[bytes, bytes]:
    """Header values by lower-case name, unfolded and with single spaces (RFC 6376 3.4.2). Each of ours occurs once."""
    fields = {}
    for field in re.split(rb"\r\n(?![ \t])", head):
        name, _, value = field.partition(b":")
        fields[name.strip().lower()] = b" ".join(value.split())
    return fields


def _body_hash(body: bytes, behind: Sequence[bytes]) -> bytes:
    """Of the relaxed body (RFC 6376 3.4.4)."""
    body = re.sub(rb"[ \t]+", b" ", body).replace(b" \r\n", b"\r\n")
    if not behind:
        body = body.rstrip(b"\r\n ")
        body = body + b"\r\n" if body else b""
    digest = sha256(body)
    for piece in behind:
        digest.update(piece)
    return digest.digest()
