"""The page Trouble: rules by recipient and Jim's chances, set, listed and taken back by plain forms."""

import json
import math
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from email_campaign.local.inbox.jim import DEFAULT, Jim, JimsChair
from email_campaign.local.inbox.look import Look
from email_campaign.local.inbox.trouble import Refused

MAX_BODY_BYTES = 64 * 1024
MAX_BYTES_A_SECOND = 1e12

CHANCES = {
    "accept_chance": "Connection is accepted",
    "disconnect_chance": "Hangs up after a reply",
    "reject_sender_chance": "MAIL is refused (550)",
    "reject_recipient_chance": "RCPT is refused (550)",
    "reject_auth_chance": "AUTH is refused (500)",
    "link_speed_affect": "Link is slow",
}
SPEEDS = {"link_speed_min": "Slow link, least", "link_speed_max": "Slow link, most"}

Form = dict[str, str]


def trouble_routes(look: Look) -> list[Route]:
    """The page, and a POST for each thing that can be done on it."""
    pages = _TroublePages(look)
    return [
        Route("/trouble", pages.show),
        Route("/trouble/rules", pages.add_rule, methods=["POST"]),
        Route("/trouble/rules/{number:int}/remove", pages.remove_rule, methods=["POST"]),
        Route("/trouble/jim", pages.set_jim, methods=["POST"]),
        Route("/trouble/jim/dismiss", pages.dismiss_jim, methods=["POST"]),
        Route("/trouble/stop", pages.stop, methods=["POST"]),
    ]


class _TroublePages:
    def __init__(self, look: Look) -> None:
        self._look = look
        self._troubles = look.troubles
        self._chair = look.chair

    def show(self, _: Request) -> Response:
        return self._page()

    async def add_rule(self, request: Request) -> Response:
        form = await _read_form(request)
        if form is None:
            return _too_large()
        try:
            self._troubles.add(form.get("pattern", ""), form.get("action", ""), form.get("seconds", ""))
        except Refused as refused:
            return await run_in_threadpool(self._page, rule=form, errors={refused.field: str(refused)})
        return _back()

    def remove_rule(self, request: Request) -> Response:
        self._troubles.remove(request.path_params["number"])
        return _back()

    async def set_jim(self, request: Request) -> Response:
        form = await _read_form(request)
        if form is None:
            return _too_large()
        chances, errors = _read_chances(form)
        if errors:
            return await run_in_threadpool(self._page, jim=form, errors=errors)
        _seat(self._chair, chances)
        return _back()

    def dismiss_jim(self, _: Request) -> Response:
        self._chair.dismiss()
        return _back()

    def stop(self, _: Request) -> Response:
        self._troubles.remove_all()
        self._chair.dismiss()
        return RedirectResponse("/", 303)

    def _page(self, rule: Form | None = None, jim: Form | None = None, errors: Form | None = None) -> Response:
        present = self._chair.present
        return self._look.page(
            "trouble",
            status=400 if errors else 200,
            rules=[(one, self._troubles.times_met(one)) for one in self._troubles.rules],
            rule={"pattern": "", "action": "450", "seconds": "5"} | (rule or {}),
            jim=_as_form(present or DEFAULT) | (jim or {}),
            jim_is_here=present is not None,
            chances=CHANCES,
            speeds=SPEEDS,
            errors=errors or {},
        )


def _seat(chair: JimsChair, chances: dict[str, float]) -> None:
    """As MailHog's API does it, so that both see the same Jim."""
    body = json.dumps({name.replace("_", ""): value for name, value in chances.items()}).encode()
    if chair.replace(body) == 404:
        chair.seat(body)


def _as_form(jim: Jim) -> Form:
    values: dict[str, Any] = asdict(jim)
    return {name: f"{value * (100 if name in CHANCES else 1):.10g}" for name, value in values.items()}


def _read_chances(form: Form) -> tuple[dict[str, float], Form]:
    """Jim's numbers, and a sentence for each field that holds none."""
    numbers: dict[str, float] = {}
    errors: Form = {}
    for name in (*CHANCES, *SPEEDS):
        is_chance = name in CHANCES
        number = _number(form.get(name, ""))
        if 0 <= number <= (100 if is_chance else MAX_BYTES_A_SECOND):
            numbers[name] = number / 100 if is_chance else number
        else:
            errors[name] = (
                "Give a number from 0 to 100." if is_chance else "Give a number of bytes a second, 0 or more."
            )
    return numbers, errors


def _number(text: str) -> float:
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        return math.nan


async def _read_form(request: Request) -> Form | None:
    """The fields of an urlencoded body; None where it is larger than any of ours."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _too_large() -> Response:
    return PlainTextResponse(f"This form has more than {MAX_BODY_BYTES:,} bytes. Send a smaller one.\n", 413)


def _back() -> Response:
    return RedirectResponse("/trouble", 303)
