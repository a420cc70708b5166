"""The table at the end of `make faults`, and build/faults.json: a pytest plugin (`-p tests.faults.table`)."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.tally import PROPERTY

FILE = Path(__file__).parents[2] / "build" / "faults.json"
COUNTS = ("kills", "recipients", "lost", "doubled", "unknown")
HEADS = ("test", "what", "kills or cuts", "recipients", "lost", "doubled", "unknown", "seconds", "verdict")

_FAULT = re.compile(r"tests/faults/test_f(\d+)_(\w+)\.py::(\S.*)")


class Table:
    """Collects the reports of the fault tests, whatever else runs beside them."""

    def __init__(self) -> None:
        self.tests: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Each test is reported three times: set up, called, torn down."""
        found = _FAULT.match(report.nodeid)
        if found is None:
            return
        made = self.tests.setdefault(
            found[3],
            {"fault": f"F{int(found[1])}", "what": found[2].replace("_", " "), "seconds": 0.0, "verdict": "green"},
        )
        made["seconds"] = round(made["seconds"] + report.duration, 1)
        made.update(dict(report.user_properties).get(PROPERTY, {}))  # type: ignore[call-overload]
        if report.failed:
            made["verdict"] = "RED"
        elif report.skipped:
            made["verdict"] = "skipped"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """One line a fault; the file has one entry a test."""
        if not self.tests:
            return
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(json.dumps(self.tests, indent=1) + "\n")
        terminalreporter.section("faults")
        for line in lines([HEADS, *_rows(list(self.tests.values()))]):
            terminalreporter.write_line(line)


def lines(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """The rows as a table: numbers to the right, words to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = zip(row, widths, strict=True)
        yield "  ".join(cell.rjust(width) if _is_number(cell) else cell.ljust(width) for cell, width in cells).rstrip()


def pytest_configure(config: pytest.Config) -> None:
    """Register the table."""
    config.pluginmanager.register(Table(), "fault-table")


def _rows(tests: Sequence[dict[str, Any]]) -> Iterable[Sequence[str]]:
    for fault in sorted({test["fault"] for test in tests}, key=lambda name: int(name[1:])):
        theirs = [test for test in tests if test["fault"] == fault]
        yield [fault, theirs[0]["what"], *_sums(theirs)]
    yield ["all", f"{len(tests)} tests", *_sums(tests)]


def _sums(tests: Sequence[dict[str, Any]]) -> list[str]:
    sums = [str(sum(test.get(name, 0) for test in tests)) for name in COUNTS]
    verdicts = {test["verdict"] for test in tests}
    verdict = next(verdict for verdict in ("RED", "skipped", "green") if verdict in verdicts)
    return [*sums, f"{sum(test['seconds'] for test in tests):.0f}", verdict]


def _is_number(cell: str) -> bool:
    return cell.replace(".", "").isdigit()
