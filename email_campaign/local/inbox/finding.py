"""What a check says of a mail: a state, what was found, why it matters, and how it is mended."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "remark", "wrong"]
Fields = tuple[tuple[str, str], ...]
"""Headers as they came: name and value, folded and encoded."""

SEVERITY: dict[State, int] = {"wrong": 0, "remark": 1, "ok": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the check list. Where all is well there is nothing to mend."""

    state: State
    title: str
    found: str
    why: str = ""
    mend: str = ""


def worst(states: Iterable[State]) -> State:
    """The state of a whole: that of its worst part, or ok."""
    return min(states, key=SEVERITY.__getitem__, default="ok")


def values_of(fields: Fields, name: str) -> list[str]:
    """All values of a header in any case of its name, unfolded."""
    return [" ".join(value.split()) for key, value in fields if key.lower() == name]
