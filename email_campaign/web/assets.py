"""Our static files: served with the hash of their content in the address, so that browsers keep them for a year."""

import hashlib
from functools import cache
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC_DIR = Path(__file__).with_name("static")
FOREVER = "public, max-age=31536000, immutable"


class Assets(StaticFiles):
    """An address with a hash never changes its content; one without (a module's import) is asked for again."""

    def __init__(self) -> None:
        super().__init__(directory=STATIC_DIR)

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = FOREVER if scope["query_string"].startswith(b"v=") else "no-cache"
        return response


def static(name: str) -> str:
    """The address of a static file; a name that does not exist is a mistake in a template and raises."""
    path = STATIC_DIR / name
    return f"/static/{name}?v={_content_hash(path, path.stat().st_mtime_ns)}"


@cache
def _content_hash(path: Path, _changed_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
