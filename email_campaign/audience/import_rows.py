"""What a row of an import says about a person, or why it is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from email_campaign.address import BadAddress, normalise
from email_campaign.audience.contacts import clean_name
from email_campaign.audience.import_layout import Layout
from email_campaign.audience.import_records import Record
from email_campaign.errors import Invalid


class RefusedRow(ValueError):
    """The row does not get in; the message says why."""


@dataclass(slots=True)
class Person:
    """What the file says: an empty name or value means that it says nothing."""

    address: str
    name: str
    attributes: dict[str, str]

    def then(self, later: "Person") -> None:
        """A later row of the same address adds to what was said, and has the last word."""
        self.name = later.name or self.name
        self.attributes = merge(self.attributes, later.attributes)


def judge(record: Record, layout: Layout, max_cell_characters: int) -> Person:
    """The person of a row. Raises RefusedRow."""
    if record.problem:
        raise RefusedRow(record.problem)
    cells = [cell.strip() for cell in record.cells]
    if len(cells) > layout.width and any(cells[layout.width :]):
        raise RefusedRow(
            f"The row has {len(cells)} cells and the file {layout.width} columns; "
            "put a cell with a delimiter in it between quotes."
        )
    for index, cell in enumerate(cells):
        if len(cell) > max_cell_characters:
            raise RefusedRow(
                f"Cell {index + 1} has {len(cell):,} characters; at most {max_cell_characters:,} are kept."
            )
    cells += [""] * (layout.width - len(cells))
    try:
        address = normalise(cells[layout.address])
        name = clean_name(" ".join(cells[index] for index in layout.names))
    except BadAddress as error:
        raise RefusedRow(str(error)) from error
    except Invalid as error:
        raise RefusedRow(error.message) from error
    return Person(address, name, {attribute: cells[index] for attribute, index in layout.attributes.items()})


def merge(before: Mapping[str, Any], said: Mapping[str, str]) -> dict[str, Any]:
    """An empty cell never takes a value away; it only makes the attribute known."""
    return {**dict.fromkeys(said, ""), **before, **{name: value for name, value in said.items() if value}}
