"""JSON as Go's encoding/json writes it, and as it reads it into a struct."""

import json
import sys
from collections.abc import Mapping
from typing import Any, Literal, NoReturn

from email_campaign.local.inbox.mail import text_of

Kind = Literal["number", "text", "flag"]


def encode(value: Any) -> bytes:
    """No blanks, UTF-8 as it is, and nothing that HTML could take for markup."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()


def decode(body: bytes | bytearray, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """The fields that a JSON object gives, by their names in lower case. Raises ValueError for anything else.

    Keys count in any case, unknown ones and nulls are passed over, and what follows the object is not looked at.
    """
    try:
        told, _ = _DECODER.raw_decode(text_of(bytes(body)).lstrip(" \t\r\n"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if told is None:
        return {}
    if not isinstance(told, dict):
        raise ValueError("not an object")  # noqa: TRY004 - wrong input, not a wrong call
    named = {key.lower(): value for key, value in told.items() if value is not None}
    return {name: _checked(named[name], kind) for name, kind in kinds.items() if name in named}


def _refuse_constant(name: str) -> NoReturn:
    """Python's JSON has NaN and Infinity, JSON has not."""
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _checked(value: object, kind: Kind) -> object:
    match kind, value:
        case "flag", bool():
            return value
        case "number", int() | float() if not isinstance(value, bool) and abs(value) <= sys.float_info.max:
            return value
        case "text", str():
            # Half of a surrogate pair cannot be written anywhere: Go replaces it as well.
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    raise ValueError(f"not a {kind}")
