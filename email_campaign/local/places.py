"""Where embedded data live: one folder a checkout, readable for its owner only."""

import hashlib
import os
import secrets
import tomllib
from pathlib import Path

from email_campaign.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[2]

VERSION: str = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]

ROOT_FOLDER = Path("/var/lib/email-campaign")
"""As root, Postgres runs as an ordinary user, who cannot look below a home of mode 0700: so not in the checkout."""

SECRET_KEY_NAME = "secret-key"  # noqa: S105 – a file's name
"""The file in the data folder that holds the secret key where none is set."""


def data_dir(settings: Settings) -> Path:
    """The folder of this checkout's embedded data; made if it is not there."""
    if settings.data_dir:
        folder = settings.data_dir.expanduser().absolute()
    elif os.geteuid() == 0:
        folder = ROOT_FOLDER / hashlib.sha256(bytes(CHECKOUT)).hexdigest()[:12]
    else:
        folder = CHECKOUT / "var"
    folder.mkdir(parents=True, exist_ok=True)
    # Root's Postgres must be able to walk through, but nobody else may look.
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return folder


def named_file(name: str) -> Path:
    """The file that a command's caller means, wherever the command goes after."""
    return Path(name).expanduser().absolute()


def kept_secret(file: Path) -> str:
    """A secret that is generated once and then stays. Safe to repeat, also after an interrupted write."""
    if file.is_file() and (kept := file.read_text().strip()):
        return kept
    secret = secrets.token_urlsafe(32)
    write_private(file, secret)
    return secret


def write_private(file: Path, text: str) -> None:
    """Replace a file by one that only its owner may read; a reader sees the old or the new one, never a half."""
    half = file.with_name(f".{file.name}.{os.getpid()}")
    half.unlink(missing_ok=True)
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as written:
        written.write(text)
    half.replace(file)
