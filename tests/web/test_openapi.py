"""The API's description."""

import re

from starlette.testclient import TestClient


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
