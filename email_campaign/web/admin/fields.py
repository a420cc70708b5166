"""Fields of forms that hold more than text: whole numbers, and moments in the zone of whoever typed them."""

from datetime import UTC, datetime
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from email_campaign.errors import Invalid
from email_campaign.web.forms import Form, whole_number

Other = TypeVar("Other", int, None)


def read_whole(form: Form, name: str, otherwise: Other) -> int | Other:
    """The whole number in a field, with or without separators; `otherwise` where it is empty. Raises Invalid."""
    text = form[name].replace(",", "")
    if not text:
        return otherwise
    if (number := whole_number(text)) is None:
        raise Invalid.field(name, "Give a whole number.")
    return number


def read_moment(form: Form, name: str) -> datetime:
    """The time of a `moment` field in the zone that came with it (UTC without script). Raises Invalid."""
    zone = form[f"{name}_zone"] or "UTC"
    try:
        return datetime.fromisoformat(form[name]).replace(tzinfo=UTC if zone == "UTC" else ZoneInfo(zone))
    except (ValueError, ZoneInfoNotFoundError, OSError) as error:
        raise Invalid.field(name, "Give a day and a time, such as 2030-01-31 09:00.") from error
