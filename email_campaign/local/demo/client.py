"""HTTP as the demo speaks it: answers as JSON, and whatever goes wrong as one sentence."""

from collections.abc import Iterator
from typing import Any, Self

import httpx

PATIENCE_SECONDS = 20.0
PAGE_ROWS = 500


class DemoFailed(Exception):
    """The demo cannot go on. The message is one sentence, or two."""


class Client:
    """One server that speaks JSON."""

    def __init__(self, base_url: str, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=base_url, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **query: str | int) -> Any:
        """GET. Raises DemoFailed, as do the others."""
        return self._json("GET", path, params=query)

    def items(self, path: str, **query: str | int) -> Iterator[Any]:
        """Every item of a list, page by page."""
        cursor: str | None = ""
        while cursor is not None:
            page = self.get(path, limit=PAGE_ROWS, **query, **({"cursor": cursor} if cursor else {}))
            yield from page["items"]
            cursor = page["next"]

    def post(self, path: str, **body: object) -> Any:
        """POST of JSON."""
        return self._json("POST", path, json=body)

    def post_once(self, path: str, key: str) -> Any:
        """POST without a body that is carried out once, however often it is sent."""
        return self._json("POST", path, headers={"Idempotency-Key": key})

    def upload(self, path: str, name: str, content: str, **fields: str) -> Any:
        """POST of a CSV file in a form."""
        return self._json("POST", path, files={"file": (name, content.encode(), "text/csv")}, data=fields)

    def tell(self, method: str, path: str, **body: object) -> None:
        """Whatever is not answered with JSON."""
        self._ask(method, path, **({"json": body} if body else {}))

    def _json(self, method: str, path: str, **request: Any) -> Any:
        try:
            return self._ask(method, path, **request).json()
        except ValueError as error:
            msg = f"{method} {path} was answered with something that is not JSON."
            raise DemoFailed(msg) from error

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **request)
        except httpx.HTTPError as error:
            msg = f"{self._client.base_url} does not answer {method} {path} ({type(error).__name__})."
            raise DemoFailed(msg) from error
        if not answer.is_success:
            msg = f"{method} {path} was answered with {answer.status_code}: {_detail(answer)}"
            raise DemoFailed(msg)
        return answer


def _detail(answer: httpx.Response) -> str:
    """What a problem+json says, else the beginning of the body."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200].strip() or answer.reason_phrase
