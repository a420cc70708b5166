"""Two people who edit the same thing: the second save comes back with what the first one changed, and nothing is lost.

A form carries the version that it was made from (`values["version"]`). A field that only somebody else changed comes
back with their words in it; a field that both changed keeps the reader's own, with the other's beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from email_campaign.web.pages import render
from email_campaign.web.written import Written, changed_since, version_of

FIELD = "version"


@dataclass(frozen=True, slots=True)
class Collision:
    """What somebody else changed since the form was made (`theirs`), which of it the reader changed too (`both`), and
    the version that it has now."""

    theirs: tuple[str, ...]
    both: frozenset[str]
    version: str


@dataclass(frozen=True, slots=True)
class Sides:
    """The values of the form's fields as somebody else saved them and as they were typed, and each field's name and
    present value in words."""

    saved: Mapping[str, Any]
    typed: Mapping[str, Any]
    words: Mapping[str, tuple[str, str]]


def collide(version: str, saved: Written, typed: Written) -> Collision | None:
    """None where nobody else saved anything else. To be asked under the row's lock, before anything is changed.

    Without a version (a script that posts the form's fields alone) the last one wins.
    """
    if not version:
        return None
    theirs = tuple(name for name in changed_since(saved, version) if saved[name] != typed[name])
    if not theirs:
        return None
    both = frozenset(theirs).intersection(changed_since(typed, version))
    return Collision(theirs, both, version_of(saved))


def show_collision(request: Request, template: str, collision: Collision, sides: Sides, **context: Any) -> Response:
    """The form again, 409: saved once more, it holds as it stands."""
    taken = {name: sides.saved[name] for name in collision.theirs if name not in collision.both}
    told = [
        {"label": sides.words[name][0], "value": sides.words[name][1], "is_kept": name in collision.both}
        for name in collision.theirs
    ]
    values = {**sides.typed, **taken, FIELD: collision.version}
    shown = {"values": values, "errors": {}, "form_error": "", "collision": told}
    return render(request, template, status_code=409, **(context | shown))
