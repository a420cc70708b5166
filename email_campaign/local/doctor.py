"""`email-campaign doctor`: all that must be right for mail to go out, what was seen of it, and how to mend it.

Nothing is changed. Each finding stands by itself: what cannot be looked at is said, and the rest is looked at.
"""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from email_campaign.db import make_engine
from email_campaign.local import doctor_machine, doctor_services
from email_campaign.local.findings import Finding, guarded
from email_campaign.local.runfile import Run
from email_campaign.settings import Settings

WIDTH = 110
_SIGNS = {"ok": "ok", "warn": "warn", "fail": "FAIL"}


def examine(settings: Settings, data_dir: Path, run: Run | None) -> list[Finding]:
    """Everything, in the order in which it is to be mended. `run` is what `make run` has running here, if anything."""
    settings = of_run(settings, run) if run else settings
    is_embedded = run is not None and "postgres" in run.pids
    engine = make_engine(settings, pool_size=1)
    try:
        return [
            *guarded("machine", lambda: doctor_machine.machine(settings, data_dir, is_embedded=is_embedded)),
            *guarded("database", lambda: doctor_services.database(engine, settings)),
            *guarded("broker", lambda: doctor_services.broker(settings)),
            *guarded("relay", lambda: doctor_services.relay(settings)),
            *guarded("images", lambda: doctor_services.images(settings)),
            *guarded("pages", lambda: doctor_services.pages(run.addresses["pages"] if run else settings.public_url)),
        ]
    finally:
        engine.dispose()


def of_run(settings: Settings, run: Run) -> Settings:
    """The settings, with what `make run` chose where nothing is set."""
    host, _, port = run.addresses["relay"].rpartition(":")
    chosen: dict[str, object] = {
        "database_url": run.addresses["database"],
        "redis_url": run.addresses["redis"],
        "smtp_host": host.strip("[]"),
        "smtp_port": int(port),
        "data_dir": Path(run.data_dir),
    }
    return settings.model_copy(update={k: v for k, v in chosen.items() if k not in settings.model_fields_set})


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing fails; a warning is no failure."""
    return all(finding.state != "fail" for finding in findings)


def as_json(findings: Sequence[Finding]) -> str:
    """For scripts."""
    return json.dumps({"ok": is_well(findings), "findings": [asdict(finding) for finding in findings]}, indent=2)


def as_text(findings: Sequence[Finding]) -> str:
    """For people: what to mend stands below what was seen."""
    lines = []
    for finding in findings:
        lines.append(_wrapped(f"{_SIGNS[finding.state]:>4}  {finding.name}: ", finding.seen))
        if finding.mend:
            lines.append(_wrapped("      → ", finding.mend))
    failed = sum(finding.state == "fail" for finding in findings)
    warned = sum(finding.state == "warn" for finding in findings)
    verdict = f"{failed:,} to mend, {warned:,} to look at." if failed or warned else "All is well."
    return "\n".join([*lines, "", verdict])


def _wrapped(head: str, words: str) -> str:
    return textwrap.fill(words, WIDTH, initial_indent=head, subsequent_indent=" " * 8, break_long_words=False)
