"""The benchmarks: `make bench`, or `python -m bench [names] [--count N] [--rounds N] [--profile]`."""

import argparse
import os
import platform
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench.groups import ALONE, GROUPS
from bench.options import Options
from bench.post_office import NotInstalled
from bench.report import FILE, Report, VoidRun
from bench.sinks import NoPostfix
from email_campaign.local.programs import StartFailed

PROFILE_FILE = FILE.with_name("profile.txt")


def main() -> int:
    """Run the named groups, or all; 1 when a gate failed, 130 when interrupted."""
    arguments = _parser().parse_args()
    names = arguments.names or [name for name in GROUPS if name not in ALONE]
    if unknown := [name for name in names if name not in GROUPS]:
        print(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(GROUPS)}.", file=sys.stderr)
        return 2
    # What holds processes and folders is written as `with` blocks: an orderly end must come to them.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = Options(arguments.count, arguments.rounds, PROFILE_FILE if arguments.profile else None)
    report, code = Report(), 0
    try:
        for name in names:
            print(f"\n{name}: {GROUPS[name].about}", flush=True)
            GROUPS[name].run(options, report)
    except KeyboardInterrupt:
        print("\nInterrupted; what follows was measured before.")
        code = 130
    except (NoPostfix, NotInstalled, StartFailed, VoidRun) as error:
        print(f"\n{error}\n{getattr(error, 'log_tail', '')}".rstrip(), file=sys.stderr)
        code = 1
    report.print_all()
    report.write(_conditions(options))
    print(f"\nWritten to {FILE.relative_to(Path.cwd()) if FILE.is_relative_to(Path.cwd()) else FILE}")
    return code or int(not all(gate.passed for gate in report.gates))


def _parser() -> argparse.ArgumentParser:
    lines = [f"  {name:12} {group.about}" for name, group in GROUPS.items()]
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures this product beside others, in one run on one machine.",
        epilog="\n".join(["benchmarks:", *lines]),
    )
    parser.add_argument("names", nargs="*", metavar="benchmark", help="which to run (default: all)")
    parser.add_argument("--count", type=int, help="recipients, or mails of a side, instead of the usual number")
    parser.add_argument("--rounds", type=int, help="how often each side is run, instead of three times")
    parser.add_argument("--profile", action="store_true", help="sample the send workers; kept in build/profile.txt")
    return parser


def _conditions(options: Options) -> dict[str, object]:
    """What a number depends on beside the code."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "load_before": round(_LOAD_AT_START, 2),
        "count": options.count,
        "rounds": options.rounds,
    }


_LOAD_AT_START = os.getloadavg()[0]

if __name__ == "__main__":
    sys.exit(main())
