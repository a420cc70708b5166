"""F28: the API against its own description: whatever is sent there is no 5xx and no answer that it does not describe,
and without a token nothing is answered but 401."""

import os
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as how
from hypothesis import strategies as st
from schemathesis import APIOperation, BaseSchema, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import Engine
from sqlalchemy.orm import sessionmaker
from starlette.types import Receive, Scope, Send

from email_campaign import queue
from email_campaign.accounts.tokens import create_token
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.settings import Settings
from email_campaign.web.app import create_app
from tests.faults.api_world import World
from tests.tables import empty_tables

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""0: a few, the same at every run; `make fuzz` wants many, new ones at every run."""
FEW = 6
Operation = APIOperation[Any, Any, Any, Any]
HERE = "http://127.0.0.1"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OPERATIONS = sorted(
    f"{method.upper()} {path}"
    for path, operations in create_app(Settings(_env_file=None)).openapi()["paths"].items()
    for method in operations
)


@pytest.fixture(scope="module")
def factory(engine: Engine) -> Iterator[SessionFactory]:
    """Rows that stay for the whole file, so that what one operation makes another one meets."""
    yield sessionmaker(engine, expire_on_commit=False)
    empty_tables(engine)


@pytest.fixture(scope="module")
def world(factory: SessionFactory) -> World:
    return World(factory)


@pytest.fixture(scope="module")
def schema(settings: Settings, factory: SessionFactory) -> Iterator[BaseSchema]:
    """The description with the app behind it, without a limit on requests and without a queue."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "nudge", lambda *_: None)
        app = create_app(settings.model_copy(update={"api_rate_per_minute": 0}), factory)

        async def without_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                raise NotImplementedError  # it would take the log from pytest
            await app(scope, receive, send)

        document = deepcopy(app.openapi())
        for operation in (one for path in document["paths"].values() for one in path.values()):
            operation.pop("security", None)  # tokens are ours to send, or not to
        described = schemathesis.openapi.from_dict(document, config=schemathesis.Config())
        described.app = without_lifespan
        yield described


@pytest.fixture(scope="module")
def token(world: World, factory: SessionFactory) -> str:
    with factory.begin() as session:
        return create_token(session, user_id=world.user_id, name="fuzz", now=utc_now())[1]


@pytest.mark.timeout(0 if EXAMPLES else 120)
@pytest.mark.parametrize("name", OPERATIONS)
def test_f28_every_answer_is_as_described(name: str, schema: BaseSchema, world: World, token: str) -> None:
    operation = _find(schema, name)
    places = world.places(operation.path)
    if "token_id" not in operation.path:  # the token that asks must not revoke itself
        places.append({})  # whatever the description allows, or not

    @how(
        max_examples=EXAMPLES or FEW,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=_cases(operation), place=st.sampled_from(places))
    def answers(case: Case[Any], place: dict[str, Any]) -> None:
        case.path_parameters.update(place)
        headers = {"Authorization": f"Bearer {token}"}
        response = case.call(base_url=HERE, headers=headers)
        case.validate_response(response, checks=CHECKS, headers=headers)
        assert response.status_code not in {401, 429}

    answers()


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ec_unknown", "Basic YWRhOmFkYQ=="])
@pytest.mark.parametrize("body", ["", "{", "[]"])
def test_f28_without_a_good_token_there_is_nothing_but_401(
    authorization: str | None, body: str, schema: BaseSchema, world: World
) -> None:
    headers = {"Content-Type": "application/json"} | ({} if authorization is None else {"Authorization": authorization})
    with asgi.get_client(schema.app) as client:
        for name in OPERATIONS:
            method, path = name.split(" ")
            answer = client.request(method, HERE + path.format_map(world.place(path)), data=body, headers=headers)
            assert (name, answer.status_code) == (name, 401)
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert set(answer.json()) == {"type", "title", "status", "detail", "instance", "errors"}


def _find(schema: BaseSchema, name: str) -> Operation:
    method, path = name.split(" ")
    return schema[path][method]


def _cases(operation: Operation) -> st.SearchStrategy[Case[Any]]:
    """What the description allows, and what it does not where there is anything that it could forbid."""
    allowed = operation.as_strategy(GenerationMode.POSITIVE)
    if operation.method in {"get", "delete"} and not re.search(r"\{", operation.path):
        return allowed
    return st.one_of(allowed, operation.as_strategy(GenerationMode.NEGATIVE))
