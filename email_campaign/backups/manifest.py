"""The manifest beside a backup: what it is, when and by what it was made, and the sum that says that it is whole."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from email_campaign.errors import Conflict, NotFound
from email_campaign.settings import Settings
from email_campaign.signing import derive_key

READ_BYTES = 1024 * 1024
KEY_CHARACTERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is known of a backup. `migration` is the schema's revision; `key` tells secret keys apart, and no more."""

    made_at: str
    release: str
    migration: str
    postgres: int
    key: str
    bytes: int
    sha256: str

    @classmethod
    def beside(cls, file: Path) -> Self:
        """The manifest of this backup. Raises NotFound, and Conflict for one that is none."""
        own = manifest_of(file)
        try:
            return cls(**json.loads(own.read_text()))
        except FileNotFoundError:
            missing = file if not file.exists() else own
            raise NotFound(f"There is no {missing}: a backup is the file and the .json beside it.") from None
        except (ValueError, TypeError):
            raise Conflict(f"{own} is not the manifest of a backup.") from None

    @property
    def shown_time(self) -> str:
        """When it was made, for people."""
        return f"{datetime.fromisoformat(self.made_at):%Y-%m-%d %H:%M} UTC"

    def write(self, file: Path) -> None:
        """Put it beside the backup of this name, on the disk before this returns."""
        own = manifest_of(file)
        half = own.with_name(f".{own.name}.part")
        with half.open("w") as written:
            written.write(json.dumps(asdict(self), indent=2) + "\n")
            written.flush()
            os.fsync(written.fileno())
        half.replace(own)

    def check(self, file: Path) -> None:
        """Raises Conflict unless the file is, byte for byte, what was written; NotFound when it is not there."""
        digest = hashlib.sha256()
        try:
            with file.open("rb") as read:
                while piece := read.read(READ_BYTES):
                    digest.update(piece)
        except FileNotFoundError:
            raise NotFound(f"There is no {file}.") from None
        if digest.hexdigest() != self.sha256:
            raise Conflict(
                f"{file} is not what was written ({file.stat().st_size:,} bytes, {self.bytes:,} were): it is damaged. "
                "Nothing was changed; take another backup."
            )


def manifest_of(file: Path) -> Path:
    """Where the manifest of a backup stands."""
    return file.with_name(f"{file.name}.json")


def key_mark(settings: Settings) -> str:
    """What tells one secret key from another without saying anything about it; empty where none is set."""
    secret = settings.secret_key.get_secret_value()
    return derive_key(secret, "backup").hex()[:KEY_CHARACTERS] if secret else ""
