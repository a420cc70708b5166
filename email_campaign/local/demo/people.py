"""The demo's CSV file: people in ten scripts at twenty domains, with the flaws that real files have."""

import csv
import io
from dataclasses import dataclass

from email_campaign.local.demo.names import SCRIPTS

DOMAINS = (
    "atelier.example", "bakery.example", "bücher.example", "choir.example", "harbour.example", "kiosk.example",
    "lighthouse.example", "meadow.example", "museum.example", "observatory.example", "orchard.example", "press.example",
    "studio.example", "workshop.example", "allotment.test", "cinema.test", "ferry.test", "library.test", "school.test",
    "theatre.test",
)  # fmt: skip
"""Names that RFC 2606 keeps for examples: nobody can ever be reached there."""

PLANS = ("seedling", "seedling", "gardener", "seedling", "patron")
COLUMNS = ("email", "name", "city", "plan", "since")
MALFORMED = (
    ["ada.lovelace.example", "Ada Lovelace", "London", "gardener", "2019"],
    ["grace@hopper@choir.example", "Grace Hopper", "Arlington", "patron", "2020"],
    ["mary@museum.example", "Mary Anning", "Lyme Regis", "Dorset", "seedling", "2021"],
)
REPEATED = 2


@dataclass(frozen=True, slots=True)
class File:
    """A file of so many contacts, with what an import has to find in it."""

    csv: str
    contact_count: int
    row_count: int
    """Rows without the header: contacts, repeated and malformed ones."""
    unwilling: str
    """The address that asked for no more mail."""


def make_file(count: int) -> File:
    """`count` contacts, at least 10. The same count gives the same file."""
    contacts = [_contact(number) for number in range(count)]
    rows = list(contacts)
    # From the back, so that each row gets in where it is meant to.
    for number in range(len(MALFORMED), 0, -1):
        rows.insert(count * number // (len(MALFORMED) + 1), MALFORMED[number - 1])
    rows += [[contact[0].upper(), *contact[1:]] for contact in contacts[:REPEATED]]
    written = io.StringIO()
    csv.writer(written).writerows([COLUMNS, *rows])
    return File(written.getvalue(), count, len(rows), unwilling=contacts[count // 3][0])


def _contact(number: int) -> list[str]:
    """Neighbours differ in script, domain and plan; names repeat after a thousand, addresses never."""
    script = SCRIPTS[number % len(SCRIPTS)]
    name, local_part, city = script.person(number // len(SCRIPTS))
    again = number // (len(SCRIPTS) * 100)
    domain = DOMAINS[(number + number // len(DOMAINS)) % len(DOMAINS)]
    plan = PLANS[number // 3 % len(PLANS)]
    return [f"{local_part}{again or ''}@{domain}", name, city, plan, str(2012 + number * 7 % 13)]
