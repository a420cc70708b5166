"""The API's description."""

import re
from typing import Any

from starlette.testclient import TestClient

UNREPEATABLE = {"create_token": "the answer that a key would keep holds the token's secret, which is stored nowhere"}
"""POSTs that create and yet take no Idempotency-Key, and why."""


def test_every_operation_needs_a_token_and_says_how_it_fails(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert operations
    names = [one["operationId"] for one in operations]
    assert len(names) == len(set(names))
    for one in operations:
        assert one["security"] == [{"HTTPBearer": []}], one["operationId"]
        assert one["tags"], one["operationId"]
        assert one["responses"]["422"] == {"$ref": "#/components/responses/Problem422"}
    assert "HTTPValidationError" not in str(document)


def test_only_the_api_is_described_and_every_reference_leads_somewhere(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    assert all(path.startswith("/api/v1/") for path in document["paths"])
    for reference in set(re.findall(r"'#/([^']+)'", str(document))):
        place = document
        for step in reference.split("/"):
            place = place[step]
        assert place


def test_every_post_that_creates_or_starts_something_takes_an_idempotency_key(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    posts = [path["post"] for path in document["paths"].values() if "post" in path]
    creating = {one["operationId"]: one for one in posts if {"201", "202"} & set(one["responses"])}
    without = {name for name, one in creating.items() if "Idempotency-Key" not in _headers(one)}
    assert without == set(UNREPEATABLE)
    assert len(creating) > 10


def _headers(operation: dict[str, Any]) -> set[str]:
    return {one["name"].title() for one in operation.get("parameters", []) if one["in"] == "header"}
