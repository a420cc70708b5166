"""The results: values with what they are compared with, gates that pass or fail, a table and `build/bench.json`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = Path(__file__).resolve().parents[1] / "build" / "bench.json"


class VoidRun(Exception):
    """Something was measured that is not what was meant; the message tells what does not add up."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured value; with `against`, `ratio` is the value over that row's. `note` tells conditions and spread."""

    value: float
    unit: str
    ratio: float | None = None
    against: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """A bound that must hold."""

    what: str
    measured: float
    bound: float
    is_floor: bool

    @property
    def passed(self) -> bool:
        """Whether the bound holds."""
        return self.measured >= self.bound if self.is_floor else self.measured <= self.bound


@dataclass
class Report:
    """Rows by name in order of measurement; each is printed when it is known, so that an interrupted run tells much."""

    rows: dict[str, Row] = field(default_factory=dict)
    gates: list[Gate] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str, *, against: str | None = None, note: str = "") -> None:
        """Keep and print a value; `against` names a row that was added before."""
        ratio = None
        if against is not None:
            below = self.rows[against].value
            ratio = value / below if below else None
        self.rows[name] = Row(value, unit, ratio, against, note)
        print(_line(name, self.rows[name]), flush=True)

    def ratio(self, name: str, against: str) -> float:
        """Two rows of this run, one over the other."""
        return self.rows[name].value / self.rows[against].value

    def at_least(self, what: str, measured: float, bound: float) -> None:
        """A gate that lower values fail."""
        self.gates.append(Gate(what, measured, bound, is_floor=True))

    def at_most(self, what: str, measured: float, bound: float) -> None:
        """A gate that higher values fail."""
        self.gates.append(Gate(what, measured, bound, is_floor=False))

    def print_all(self) -> None:
        """The whole table, then the gates."""
        print()
        for name, row in self.rows.items():
            print(_line(name, row))
        if self.gates:
            print("\ngates")
        for gate in self.gates:
            bound = f"{'at least' if gate.is_floor else 'at most'} {_number(gate.bound)}"
            print(f"  {'pass' if gate.passed else 'FAIL'}  {gate.what}: {_number(gate.measured)} ({bound})")

    def write(self, conditions: Mapping[str, object], file: Path = FILE) -> None:
        """Merge into the file what was measured now: a run of some rows keeps the others with their own conditions."""
        file.parent.mkdir(exist_ok=True)
        kept = json.loads(file.read_text()) if file.exists() else {}
        kept |= {name: asdict(row) | {"conditions": conditions} for name, row in self.rows.items()}
        kept |= {
            f"gate: {gate.what}": asdict(gate) | {"passed": gate.passed, "conditions": conditions}
            for gate in self.gates
        }
        file.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def _line(name: str, row: Row) -> str:
    against = f"{row.ratio:8.2f} × {row.against}" if row.ratio is not None else ""
    return f"  {name:34} {_number(row.value):>12} {row.unit:14} {against:30} {row.note}".rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.3g}" if abs(value) < 10 else f"{value:,.1f}"
