"""Publishes every message of a Celery broker again, as a publisher does whose answer was lost on its way."""

import json
import threading
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import redis


class Repeater:
    """Watches what is pushed to some queues; each message comes `times` times more, with a delivery tag of its own."""

    def __init__(self, url: str, queues: Collection[str], times: int) -> None:
        self.count = 0
        self._queues = queues
        self._times = times
        self._client = redis.Redis.from_url(url)
        self._watching, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        assert self._watching.wait(10)

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()
        self._client.ping()  # a command that is seen, so that the watcher looks up
        self._thread.join(10)
        self._client.close()

    def _watch(self) -> None:
        with self._client.monitor() as monitor:  # type: ignore[no-untyped-call]
            self._watching.set()
            for seen in monitor.listen():
                if self._stopped.is_set():
                    return
                verb, _, rest = seen["command"].partition(" ")
                queue, _, message = rest.partition(" ")
                if verb == "LPUSH" and queue in self._queues:
                    self._repeat(queue, message)

    def _repeat(self, queue: str, message: str) -> None:
        read = json.loads(message)
        if "repeated" in read["properties"]:
            return
        for _ in range(self._times):
            read["properties"] |= {"repeated": True, "delivery_tag": str(uuid.uuid4())}
            self._client.lpush(queue, json.dumps(read))
            self.count += 1


@contextmanager
def repeating(url: str, queues: Collection[str], times: int) -> Iterator[Repeater]:
    """Every message of these queues comes so many times more while the block lasts."""
    repeater = Repeater(url, queues, times)
    try:
        yield repeater
    finally:
        repeater.stop()
