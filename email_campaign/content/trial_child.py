"""The process in which content is tried out: it reads one request, renders, answers, and dies if that takes too much.

Run as `python -m email_campaign.content.trial_child` by `trial`. It imports the language and nothing else.
"""

import json
import resource
import signal
import sys
from typing import Any

from email_campaign.content.language import RenderError, compile_content
from email_campaign.errors import Invalid

CPU_SECONDS = 1
MEMORY_BYTES = 256 * 1024 * 1024
OUT_OF_MEMORY = 3
"""Exit status of a process that met its limit of memory."""


def main() -> None:
    request = json.load(sys.stdin)
    _limit()
    try:
        answer = _try_out(request)
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
    json.dump(answer, sys.stdout)


def _limit() -> None:
    # A timer of processor time counts from here, not from the start of Python; the kernel's limit is the second lock.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS + 2, CPU_SECONDS + 3))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _try_out(request: dict[str, Any]) -> dict[str, Any]:
    try:
        content = compile_content(request["subject"], request["html"], request["text"])
    except Invalid as error:
        return {
            "invalid": error.message,
            "problems": [(problem.field, problem.message) for problem in error.problems],
        }
    variables = request["variables"]
    if variables is None:
        variables = dict.fromkeys(content.variables, "sample")
    try:
        return {"rendered": content.render(variables)}
    except RenderError as error:
        return {"render_error": (error.part, error.line, error.reason, error.variable)}


if __name__ == "__main__":
    main()
