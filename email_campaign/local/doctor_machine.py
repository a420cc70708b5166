"""What the doctor looks at on this machine: interpreter, settings, keys, disk."""

import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from email_campaign.address import domain_of
from email_campaign.content.dkim import find_signer
from email_campaign.errors import DomainError
from email_campaign.local.findings import Finding, fail, ok, warn
from email_campaign.settings import Settings

PYTHON_MINIMUM = (3, 11)
SECRET_MINIMUM = 16
GIGABYTE = 1024**3
DISK_WARN, DISK_FAIL = 5 * GIGABYTE, GIGABYTE
SHARE_WARN = 0.1


def machine(settings: Settings, data_dir: Path, *, is_embedded: bool) -> Iterator[Finding]:
    """All of it."""
    yield _interpreter()
    yield from _settings(settings)
    if settings.dkim_dir is not None:
        yield _dkim(settings, settings.dkim_dir)
    yield _disk("disk", data_dir, f"the data folder {data_dir}")
    if is_embedded:
        yield _disk("disk of Postgres", data_dir / "postgres", "the embedded Postgres")


def _interpreter() -> Finding:
    seen = f"Python {platform.python_version()} ({sys.executable})."
    if sys.version_info < PYTHON_MINIMUM:
        return fail("interpreter", seen, "Install Python 3.11 or later, and make the environment anew with it.")
    return ok("interpreter", seen)


def _settings(settings: Settings) -> Iterator[Finding]:
    secret = settings.secret_key.get_secret_value()
    if not secret:
        how = "Set SECRET_KEY: python3 -c 'import secrets; print(secrets.token_hex(24))'; then never change it."
        yield fail("secret key", "SECRET_KEY is not set; web does not start without it.", how)
    elif len(secret) < SECRET_MINIMUM:
        seen = f"SECRET_KEY has {len(secret)} characters, which can be guessed."
        yield warn("secret key", seen, "Choose a longer one before anything is sent; afterwards it must stay.")
    else:
        yield ok("secret key", "SECRET_KEY is set.")
    if settings.public_url.startswith("https:") and not settings.cookie_secure:
        yield warn("cookies", "PUBLIC_URL is https, and cookies go over http too.", "Set COOKIE_SECURE=true.")


def _dkim(settings: Settings, folder: Path) -> Finding:
    domain = domain_of(settings.mail_from)
    try:
        signer = find_signer(folder, domain)
    except DomainError as error:
        return fail("dkim", str(error), f"Mend or remove the key in {folder}: campaigns of its domain do not go out.")
    if signer is None:
        return warn("dkim", f"{folder} has no key for {domain}.", f"Run: email-campaign dkim-key {domain}")
    return ok("dkim", f"{folder} has a key for {domain}: {signer.record_name}.")


def _disk(name: str, folder: Path, what: str) -> Finding:
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    share = usage.free / max(1, usage.total)
    seen = f"{usage.free / GIGABYTE:,.1f} GB ({share:.0%}) are free for {what}."
    mend = "Make room, or move it (DATA_DIR). Postgres stops at a full disk; old attempts go by ATTEMPTS_KEPT_DAYS."
    if usage.free < DISK_FAIL:
        return fail(name, seen, mend)
    return warn(name, seen, mend) if usage.free < DISK_WARN and share < SHARE_WARN else ok(name, seen)
