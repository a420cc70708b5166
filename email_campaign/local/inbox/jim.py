"""Jim, MailHog's chaos monkey: chances of trouble for SMTP connections, and the API that sets them."""

import random
import threading
from dataclasses import asdict, dataclass, fields

from starlette.requests import Request
from starlette.responses import Response

from email_campaign.local.inbox.answers import JSON_V2, json_answer, read_body
from email_campaign.local.inbox.go_json import Kind, decode

MAX_SHOWN_WHOLE = 1e21
"""From here on Go writes a whole number with an exponent."""


@dataclass(frozen=True, slots=True)
class Jim:
    """Chances from 0 to 1, link speeds in bytes a second; MailHog's names in its spelling are the JSON keys."""

    accept_chance: float = 0.0
    disconnect_chance: float = 0.0
    link_speed_affect: float = 0.0
    link_speed_max: float = 0.0
    link_speed_min: float = 0.0
    reject_auth_chance: float = 0.0
    reject_recipient_chance: float = 0.0
    reject_sender_chance: float = 0.0

    def link_speed(self) -> float | None:
        """Bytes a second for a new connection; None where the link is not slowed."""
        if not happens(self.link_speed_affect):
            return None
        low, high = sorted((self.link_speed_min, self.link_speed_max))
        return max(1.0, random.uniform(low, high))  # noqa: S311 - chance, not secrecy


DEFAULT = Jim(0.99, 0.005, 0.1, 10240, 1024, 0.05, 0.05, 0.05)

_NAMES = {field.name.replace("_", ""): field.name for field in fields(Jim)}
_KINDS: dict[str, Kind] = dict.fromkeys(_NAMES, "number")


class JimsChair:
    """Where Jim sits, or does not. A connection keeps the Jim that it began with."""

    def __init__(self) -> None:
        self.present: Jim | None = None
        self._last = DEFAULT
        self._lock = threading.Lock()

    def get(self, _: Request) -> Response:
        jim = self.present
        if jim is None:
            return Response(status_code=404)
        told = {key.title().replace("_", ""): _number(value) for key, value in asdict(jim).items()}
        return json_answer(told, JSON_V2)

    def seat(self, body: bytes) -> int:
        """POST: Jim comes, with these chances or with the last known. The HTTP status."""
        with self._lock:
            if self.present is not None:
                return 400
            # As in MailHog, a body that cannot be read counts as none.
            self.present = self._last = read_jim(body) or self._last
            return 201

    def replace(self, body: bytes) -> int:
        """PUT: all chances anew; keys that are missing become 0. The HTTP status."""
        with self._lock:
            if self.present is None:
                return 404
            jim = read_jim(body)
            if jim is None:
                return 400
            self.present = self._last = jim
            return 200

    def dismiss(self) -> int:
        """DELETE: Jim goes, his chances are remembered. The HTTP status."""
        with self._lock:
            status = 404 if self.present is None else 200
            self.present = None
            return status

    async def answer(self, request: Request) -> Response:
        """GET, POST, PUT and DELETE of `/api/v2/jim`."""
        if request.method == "DELETE":
            return Response(status_code=self.dismiss())
        if request.method not in {"POST", "PUT"}:
            return self.get(request)
        try:
            body = await read_body(request)
        except ValueError:
            return Response(status_code=400)
        return Response(status_code=self.seat(body) if request.method == "POST" else self.replace(body))


def happens(chance: float) -> bool:
    """True in this share of cases: never at 0, always at 1."""
    return random.random() < chance  # noqa: S311 - chance, not secrecy


def read_jim(body: bytes) -> Jim | None:
    """Jim from JSON with keys in any case; unknown keys are ignored. None for anything else."""
    try:
        told = decode(body, _KINDS)
    except ValueError:
        return None
    return Jim(**{_NAMES[key]: float(value) for key, value in told.items()})


def _number(value: float) -> float:
    return int(value) if value == int(value) and abs(value) < MAX_SHOWN_WHOLE else value
