"""Where the processor time of the send workers went: gathers what `bench/sampling/sitecustomize.py` saw in them."""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SAMPLING = Path(__file__).parent / "sampling"
LINES = 45
PATIENCE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Sampling:
    """Samplers that wait in the send workers; what they write is read by `tell`."""

    folder: Path

    @contextmanager
    def sampled(self) -> Iterator[None]:
        """Sample inside the `with`."""
        (self.folder / "on").touch()
        try:
            yield
        finally:
            (self.folder / "on").unlink()

    def tell(self, workers: int, mails: int) -> str:
        """The most expensive lines, threads and functions, in µs a mail over all send workers."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(files := list(self.folder.glob("*.json"))) < workers and time.monotonic() < deadline:
            time.sleep(0.1)
        threads: Counter[str] = Counter()
        lines: Counter[str] = Counter()
        functions: Counter[str] = Counter()
        for file in files:
            found = json.loads(file.read_text())
            for thread, line, ns in found["lines"]:
                threads[thread] += ns
                lines[f"{line}   [{thread}]"] += ns
            functions.update(dict(found["functions"]))
        parts = (("threads", threads), ("lines, themselves", lines), ("functions, with what they call", functions))
        return "\n\n".join(f"{title}, µs a mail\n{_table(counted, mails)}" for title, counted in parts)


@contextmanager
def sampling(folder: Path) -> Iterator[Sampling]:
    """Programs that are started inside the `with` carry a sampler."""
    folder.mkdir()
    told = {"BENCH_SAMPLES": str(folder), "PYTHONPATH": str(SAMPLING)}
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield Sampling(folder)
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _table(counted: Counter[str], mails: int) -> str:
    return "\n".join(f"{ns / mails / 1000:8.1f}  {name}" for name, ns in counted.most_common(LINES))
