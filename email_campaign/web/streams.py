"""Server-sent events as an answer: it ends with its listener, and lets go of a reader that takes nothing."""

import asyncio
import logging

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from email_campaign.web.live import Hub, Listener

log = logging.getLogger(__name__)

STALLED_SECONDS = 20.0
"""A reader that takes nothing for so long is dropped; it comes back if it is still there."""


class EventStream(StreamingResponse):
    """What a listener hears, as https://html.spec.whatwg.org/multipage/server-sent-events.html."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, listener: Listener, *, stalled_seconds: float = STALLED_SECONDS) -> None:
        # nginx would gather the events in a buffer, and tell them when it is full.
        super().__init__(listener.messages(), headers={"X-Accel-Buffering": "no"})
        self._hub = hub
        self._listener = listener
        self._stalled_seconds = stalled_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._hub.leave(self._listener)

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self._stalled_seconds):
                await send(message)

        try:
            await super().stream_response(send_in_time)
        except TimeoutError:
            log.info("a page took no live numbers for %.0f s, and was dropped", self._stalled_seconds)
