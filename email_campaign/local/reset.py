"""`make reset`: forget everything that `run` has made, after asking."""

import shutil
from collections.abc import Callable
from pathlib import Path

from email_campaign.local import places, runfile

MADE_BY_RUN = (
    *("postgres", "postgres-password", "valkey", "valkey-password", places.SECRET_KEY_NAME, "beat-schedule*"),
    *("inbox", "logs", "media", "postgres-programs-*", runfile.RUN_NAME),
)
"""Only these go: a data folder that was set by hand may hold other things too."""


def reset(data_dir: Path, ask: Callable[[str], str]) -> str:
    """Delete the embedded data when the answer is yes; returns what to tell. Raises AlreadyRunning."""
    doomed = sorted(path for pattern in MADE_BY_RUN for path in data_dir.glob(pattern))
    with runfile.claim(data_dir, print):
        if not doomed:
            return f"There is nothing to delete in {data_dir}."
        question = (
            f"This deletes every contact, campaign, log and mail in {data_dir}, and the key that signs links in mails "
            "already sent.\nA database or broker of your own (DATABASE_URL, REDIS_URL) is not touched.\n"
            "Type yes to go on: "
        )
        if ask(question).strip().lower() != "yes":
            return "Nothing was deleted."
        for path in doomed:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return "Deleted. `make run` starts anew."
