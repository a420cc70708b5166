"""What can go wrong in the domain, in four kinds that the doors map to answers.

DomainError
├── NotFound     the thing asked for is not there (any more)
├── Conflict     lawful in itself, but not in the present state: IllegalTransition and the like
├── Invalid      the input is wrong; carries one problem per field
└── NotAllowed   this actor may not do that
"""

from collections.abc import Sequence
from dataclasses import dataclass


class DomainError(Exception):
    """A failure that a person can understand: the message says what happened, why, and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(DomainError):
    """The thing asked for is not there."""


class Conflict(DomainError):
    """Lawful in itself, but not in the present state."""


class NotAllowed(DomainError):
    """This actor may not do that."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One wrong field: its name as the form and the API spell it, and how to mend it."""

    field: str
    message: str


class Invalid(DomainError):
    """The input is wrong. `problems` names each wrong field."""

    def __init__(self, message: str, problems: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    @classmethod
    def field(cls, field: str, message: str) -> "Invalid":
        """One wrong field, whose message is the whole message."""
        return cls(message, [FieldProblem(field, message)])
