"""ETag and If-Match (RFC 9110 8.8.3 and 13.1.1): an edit is carried out only on what its writer has read.

The tag is a strong one, since If-Match takes no other: the version of what people write. Numbers that move by
themselves are no part of it, else no campaign that is being sent could be changed. No answer is kept in a cache, so
that nothing else is ever decided by it.
"""

import re
from typing import Annotated, Any

from fastapi import Depends, Header
from starlette.exceptions import HTTPException
from starlette.responses import Response

from email_campaign.web.written import Written, version_of

TAGGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"ETag": {"schema": {"type": "string"}, "description": "For `If-Match` of the next edit."}}}
}
"""For `responses=` of a route that sets the header."""

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


def set_etag(response: Response, written: Written) -> None:
    """Name the version that this answer shows."""
    response.headers["ETag"] = _tag(written)


class IfMatch:
    """The header of an edit, or none."""

    def __init__(
        self,
        response: Response,
        if_match: Annotated[
            str | None,
            Header(
                alias="If-Match",
                description="The ETag that you read: 412, and nothing changes, where it was changed since.",
            ),
        ] = None,
    ) -> None:
        self._response = response
        self._wanted = if_match

    def check(self, written: Written) -> None:
        """Raises 412 where this is not what was read. To be asked under the row's lock, before anything is changed."""
        if self._wanted is None or self._wanted.strip() == "*":
            return
        # A weak tag never matches (RFC 9110 8.8.3.2), and what is no tag at all names nothing that we gave out.
        strong = {value for weak, value in _TAG.findall(self._wanted) if not weak}
        if version_of(written) not in strong:
            raise HTTPException(
                412,
                "It was changed after you read it, and stays as it is now. Read it again, and send your change with "
                "its new ETag in If-Match.",
                headers={"ETag": _tag(written)},
            )

    def answer(self, written: Written) -> None:
        """Name the version that the edit has made."""
        set_etag(self._response, written)


IfMatchDep = Annotated[IfMatch, Depends()]


def _tag(written: Written) -> str:
    return f'"{version_of(written)}"'
