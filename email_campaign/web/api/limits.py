"""API: rate limits as the relay and campaigns have them, several windows at once."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from email_campaign.campaigns.limits import RateLimit, RateLimits


class LimitSpec(BaseModel):
    """Not more than so many mails in any so many seconds."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    count: Annotated[int, Field(examples=[10])]
    seconds: Annotated[int, Field(description="1 for a second, 3600 for an hour, 86400 for a day.", examples=[1])]


LimitSpecs = Annotated[
    list[LimitSpec],
    Field(
        max_length=100,
        description="They hold all at once, five at most; none: as fast as it goes.",
        examples=[[{"count": 10, "seconds": 1}, {"count": 5000, "seconds": 3600}]],
    ),
]


def read_limits(specs: list[LimitSpec]) -> RateLimits:
    """The limits that a client wants; they are checked where they are written."""
    return tuple(RateLimit(spec.count, spec.seconds) for spec in specs)
