"""Trying content out where it can do no harm: in a process of its own, with 1 s of processor time and 256 MB."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from email_campaign.content.language import Rendered, RenderError
from email_campaign.content.trial_child import OUT_OF_MEMORY
from email_campaign.errors import FieldProblem, Invalid

WALL_SECONDS = 20.0
"""On a busy machine a second of processor time takes longer; past this the process hangs or starves."""

_ROOT = Path(__file__).parents[2]
_KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "SYSTEMROOT")  # no secrets


def try_out(subject: str, html: str, text: str) -> None:
    """Check sources before they are saved. Raises Invalid if they are wrong or take too much time or memory.

    It renders with a sample text for each variable; that such a text does not fit (where a number or a list is meant)
    is no mistake. Takes some 100 ms: call it before a transaction is open.
    """
    try:
        _run(subject, html, text, None)
    except RenderError:
        return


def try_render(subject: str, html: str, text: str, variables: Mapping[str, object]) -> Rendered:
    """What a contact with these variables (JSON values) would read. Raises Invalid as `try_out`, and RenderError."""
    return _run(subject, html, text, variables)


def _run(subject: str, html: str, text: str, variables: Mapping[str, object] | None) -> Rendered:
    request = json.dumps({"subject": subject, "html": html, "text": text, "variables": variables})
    process = subprocess.Popen(
        [sys.executable, "-m", "email_campaign.content.trial_child"],
        cwd=_ROOT,
        env={name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        try:
            answer, _ = process.communicate(request.encode(), timeout=WALL_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Invalid("The template could not be tried out in time. Try again.") from None
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise _death(process.returncode)
    return _read(answer)


def _death(status: int) -> Invalid:
    if status in {-signal.SIGPROF, -signal.SIGXCPU}:
        return Invalid("The template takes longer than 1 s of processor time to render. Shorten its loops.")
    if status == OUT_OF_MEMORY:
        return Invalid("The template takes more than 256 MB of memory to render.")
    return Invalid(f"The template could not be tried out (status {status}). Make it simpler.")


def _read(answer: bytes) -> Rendered:
    reply = json.loads(answer)
    if "invalid" in reply:
        raise Invalid(reply["invalid"], [FieldProblem(*problem) for problem in reply["problems"]])
    if "render_error" in reply:
        raise RenderError(*reply["render_error"])
    return Rendered(*reply["rendered"])
