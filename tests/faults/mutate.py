"""`make faults MUTATE=1`: takes one guard out at a time, in a scratch copy, and sees its test go red.

A mutation whose old text does not stand exactly once in its file is an error: the code has moved, and so must it. A
test that stays green, or that goes red for another reason than the mutation names, fails the run.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from email_campaign.local import places, postgres
from email_campaign.settings import Settings
from tests.faults.mutations import MUTATIONS, Edit, Mutation
from tests.faults.table import lines

ROOT = Path(__file__).parents[2]
COPIED = ("bench", "email_campaign", "migrations", "templates", "tests", "alembic.ini", "pyproject.toml")
TEST_SECONDS = 150
"""A test that waits for what will never come is ended by its own timeout; its reason is that it still waits."""
IMPATIENT = (
    Edit("tests/faults/conftest.py", "FINISH_SECONDS = 100.0", "FINISH_SECONDS = 30.0"),
    Edit("tests/delivery/conftest.py", "PATIENCE_SECONDS = 30.0", "PATIENCE_SECONDS = 12.0"),
)
"""Whether a campaign will ever finish is known sooner than on a machine that might only be busy."""


class DoesNotApply(Exception):
    """The text that a mutation replaces does not stand exactly once in its file."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a test ended without its guard; `is_caught` when it failed for the reason that was named."""

    is_caught: bool
    words: str
    seconds: float


def apply(edits: Sequence[Edit], root: Path) -> None:
    """Make the edits below `root`. Raises DoesNotApply, also when the file is no Python any more."""
    for edit in edits:
        file = root / edit.file
        text = file.read_text() if file.exists() else ""
        if text.count(edit.old) != 1:
            raise DoesNotApply(f"{edit.file}: stands there {text.count(edit.old)} times: {edit.old[:70]!r}")
        changed = text.replace(edit.old, edit.new)
        try:
            compile(changed, edit.file, "exec")
        except SyntaxError as error:
            raise DoesNotApply(f"{edit.file}: without the guard it is no Python: {error}") from None
        file.write_text(changed)


def copy_tree(folder: Path) -> None:
    """What the tests need of this checkout."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def judge(mutation: Mutation) -> Outcome:
    """Run the mutation's test in a copy without the guard."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="email-campaign-mutation-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the account that runs Postgres must be able to walk through
        copy_tree(folder)
        apply([*IMPATIENT, *mutation.edits], folder)
        code, output = _run_test(mutation.test, folder)
    seconds = time.monotonic() - began
    if code == 0:
        return Outcome(False, "GREEN", seconds)
    if code != 1 or not re.search(r"^(FAILED|E  )", output, re.MULTILINE) or " error" in output.splitlines()[-1]:
        return Outcome(False, f"BROKEN: pytest ended with {code}", seconds)
    if not re.search(mutation.because, output, re.DOTALL):
        return Outcome(False, "RED, but for another reason", seconds)
    return Outcome(True, "red", seconds)


def _run_test(test: str, folder: Path) -> tuple[int, str]:
    bin_dir = postgres.find_binaries(places.data_dir(Settings()), Settings().postgres_bin_dir)
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "POSTGRES_BIN_DIR": str(bin_dir),
        "DATA_DIR": str(folder / "var"),
    }
    argv = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"--timeout={TEST_SECONDS}", test]
    process = subprocess.Popen(
        argv,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=4 * TEST_SECONDS)
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    return process.returncode, output


def main() -> int:
    """Every mutation, or those whose test or guard contains one of the words; the exit status is 1 if one survives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only the mutations of these tests, such as f04")
    words = parser.parse_args().words
    chosen = [m for m in MUTATIONS if not words or any(word.lower() in f"{m.test} {m.guard}".lower() for word in words)]
    rows = [("guard that was taken out", "test", "seconds", "verdict")]
    survived = 0
    for mutation in chosen:
        try:
            outcome = judge(mutation)
        except DoesNotApply as error:
            outcome = Outcome(False, f"DOES NOT APPLY: {error}", 0.0)
        survived += not outcome.is_caught
        rows.append((mutation.guard, mutation.name, f"{outcome.seconds:.0f}", outcome.words))
        sys.stdout.write(f"{mutation.name}: {outcome.words}\n")
        sys.stdout.flush()
    sys.stdout.write("\n" + "\n".join(lines(rows)) + "\n\n")
    sys.stdout.write(f"{len(chosen)} guards taken out, {survived} not missed by their tests\n")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
