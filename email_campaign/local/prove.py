"""`email-campaign prove`: recount a campaign, compare it with its relay's log, export its send log, verify a file.

The exit code is the verdict: 0 holds, 1 does not hold, 2 could not be checked.
"""

import gzip
import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.proof import Proof, Proving, Verdict, prove
from email_campaign.delivery.proof_checks import Finding
from email_campaign.errors import Conflict
from email_campaign.local.places import named_file
from email_campaign.reports.relay_log import Compared, compare
from email_campaign.reports.sealed_file import Verified, verify
from email_campaign.reports.sealed_log import Wanted, seal_key, sealed_log
from email_campaign.settings import Settings

EXIT_CODES = {Verdict.HOLDS: 0, Verdict.DOES_NOT_HOLD: 1, Verdict.NOT_CHECKED: 2}

_VERDICTS = {
    Verdict.HOLDS: "It holds.",
    Verdict.DOES_NOT_HOLD: "IT DOES NOT HOLD.",
    Verdict.NOT_CHECKED: "It could not be checked.",
}


def add_arguments(parser: ArgumentParser) -> None:
    """What `prove` is asked with. File names are made absolute here, before the command goes to its own folder."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("campaign", nargs="?", type=int, metavar="CAMPAIGN", help="its number: see its page's address")
    what.add_argument(
        "--file", type=named_file, metavar="FILE", help="verify a file that --export wrote; needs no database"
    )
    parser.add_argument(
        "--relay-log",
        type=named_file,
        metavar="FILE",
        action="append",
        default=[],
        help="compare with this log of the relay by Message-ID; .gz is unpacked, and it may be given more than once",
    )
    parser.add_argument(
        "--export", type=named_file, metavar="FILE", help="write the send log as JSON lines, chained, sealed"
    )
    parser.add_argument("--addresses", action="store_true", help="with --export: addresses, and replies as they were")
    parser.add_argument("--json", action="store_true", help="for scripts")


def verify_file(arguments: Namespace, settings: Settings) -> int:
    """Verify a file and tell what it says. Raises OSError for one that cannot be read."""
    key = seal_key(settings) if settings.secret_key.get_secret_value() else None
    with arguments.file.open("rb") as file:
        seen = verify(file, key)
    print(json.dumps(asdict(seen)) if arguments.json else "\n".join(_told_of_file(seen)))
    return EXIT_CODES[seen.verdict]


def prove_campaign(arguments: Namespace, settings: Settings, factory: SessionFactory) -> int:
    """Recount the campaign, and do what else was asked for. Raises DomainError and OSError for what cannot be done."""
    if (arguments.relay_log or arguments.export) and not settings.secret_key.get_secret_value():
        raise Conflict("SECRET_KEY is not set: without it there are no Message-IDs to look for, and no seal.")
    proof = prove(factory, arguments.campaign, utc_now(), _show_progress if sys.stderr.isatty() else lambda _: None)
    verdicts = [proof.verdict]
    compared = None
    if arguments.relay_log:
        compared = compare(factory, arguments.campaign, settings, _lines(arguments.relay_log))
        verdicts.append(compared.verdict)
    if arguments.export:
        wanted = Wanted(arguments.campaign, arguments.addresses)
        _write(arguments.export, sealed_log(factory, wanted, settings, utc_now(), lambda: proof))
    verdict = next((one for one in (Verdict.DOES_NOT_HOLD, Verdict.NOT_CHECKED) if one in verdicts), Verdict.HOLDS)
    if arguments.json:
        relay_log = asdict(compared) | {"verdict": compared.verdict} if compared else None
        print(json.dumps(proof.to_json() | {"verdict": verdict, "relay_log": relay_log}))
    else:
        print("\n".join([*_told(proof), *(_told_of_log(compared) if compared else ()), "", _VERDICTS[verdict]]))
    return EXIT_CODES[verdict]


def _lines(logs: Sequence[Path]) -> Iterator[bytes]:
    for log in logs:
        with gzip.open(log) if log.suffix == ".gz" else log.open("rb") as lines:
            yield from lines


def _write(file: Path, lines: Iterator[bytes]) -> None:
    """Under another name until it is whole, so that nobody takes half a file for the log."""
    half = file.with_name(f"{file.name}.part")
    with half.open("wb") as written:
        written.writelines(lines)
    half.replace(file)


def _show_progress(proving: Proving) -> None:
    share = min(1.0, proving.done_count / max(1, proving.total_count))
    print(f"\r{share:.0%} ", end="", file=sys.stderr, flush=True)


def _told(proof: Proof) -> list[str]:
    subject = proof.subject
    counts = ", ".join(f"{count:,} {state}" for state, count in proof.counts.items() if count) or "nobody"
    lines = [f"Campaign {subject.mailing_id} is {subject.state}. Recounted: {counts}.", ""]
    for tally in proof.tallies:
        sign = "FAIL" if tally.wrong_count else "?" if tally.failed else "ok" if tally.checked_count else "-"
        numbers = f"{tally.wrong_count:,} wrong, " if tally.wrong_count else ""
        lines.append(f"{sign:>4}  {tally.check.statement} ({numbers}{tally.checked_count:,} checked)")
        lines += [f"      {tally.note}"] if tally.note else []
        lines += _told_of(tally.found, tally.wrong_count)
    return lines


def _told_of_log(compared: Compared) -> list[str]:
    sign = {Verdict.HOLDS: "ok", Verdict.DOES_NOT_HOLD: "FAIL", Verdict.NOT_CHECKED: "?"}[compared.verdict]
    words = (
        f"The relay's log names {compared.named_count:,} copies of this campaign; {compared.accepted_count:,} are "
        f"accepted, {compared.missing_count:,} of them are not named, {compared.doubled_count:,} copies were taken too "
        f"often, {compared.strange_count:,} should not stand there, {compared.unknown_count:,} unknown ones do."
    )
    other = "It names none at all: it is the log of another relay, or of another time."
    told = [f"{sign:>4}  {other if compared.verdict is Verdict.NOT_CHECKED else words}"]
    return told if compared.verdict is Verdict.NOT_CHECKED else told + _told_of(compared.found, 0)


def _told_of_file(seen: Verified) -> list[str]:
    lines = [seen.words]
    if seen.header and seen.footer:
        header, footer = seen.header, seen.footer
        counts = ", ".join(f"{count:,} {state}" for state, count in footer["states"].items() if count) or "nobody"
        lines.insert(
            0, f"Campaign {header['campaign']}, “{header['name']}”, as of {header['written_at'][:19]}: {counts}."
        )
        if footer["verdict"] == Verdict.DOES_NOT_HOLD:
            lines.append("What was recounted when it was written did not hold:")
            for tally in footer["checks"]:
                lines += _told_of([Finding(**one) for one in tally["found"]], tally["wrong_count"])
    return [*lines, _VERDICTS[seen.verdict]]


def _told_of(found: Sequence[Finding], wrong_count: int) -> list[str]:
    lines = [f"        {one.delivery + ': ' if one.delivery else ''}{one.words}" for one in found]
    more = wrong_count - len(found)
    return [*lines, f"        … and {more:,} more."] if more > 0 else lines
