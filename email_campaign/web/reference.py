"""The API's reference: what its OpenAPI document says, in the order and the words in which people read it."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

METHODS = ("get", "post", "patch", "put", "delete")
PLAIN = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
    "null": "null",
}
FORMATS = {"date-time": "time", "binary": "file"}
EXAMPLES: Mapping[str, Any] = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}, "null": None}
EXAMPLE_TEXTS = {"date-time": "2030-01-31T09:00:00+01:00", "delivery_id": "7-1204"}
KEY_EXAMPLE = "my-name-for-this"

Node = Mapping[str, Any]


class Kind(NamedTuple):
    """What a value is, in words; `thing` is the schema that says more, or nothing."""

    words: str
    thing: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, or a field of a body or an answer."""

    name: str
    kind: Kind
    is_required: bool
    text: str
    otherwise: str
    """What holds where it is left out, as JSON; empty where nothing is said."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back when all goes well."""

    status: str
    text: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    name: str
    method: str
    path: str
    text: str
    parameters: Sequence[Field]
    body: Sequence[Field]
    answers: Sequence[Answer]
    curl: str

    @property
    def gist(self) -> str:
        """The first sentence."""
        return self.text.partition("\n")[0].partition(". ")[0].rstrip(".") + "."


@dataclass(frozen=True, slots=True)
class Thing:
    """An object that bodies and answers hold."""

    name: str
    title: str
    text: str
    fields: Sequence[Field]


@dataclass(frozen=True, slots=True)
class Group:
    """The operations on one subject, and the objects that they speak of."""

    name: str
    slug: str
    operations: Sequence[Operation]
    things: Sequence[Thing]


def read_groups(document: Node, base_url: str) -> list[Group]:
    """Every group of the document, in its order; `base_url` stands in the examples."""
    by_tag: dict[str, list[tuple[str, str, Node]]] = {}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                by_tag.setdefault(item[method]["tags"][0], []).append((method, path, item[method]))
    return [_Reader(document, base_url).group(tag, operations) for tag, operations in by_tag.items()]


class _Reader:
    """Reads one document; what it met on the way are the things of the group."""

    def __init__(self, document: Node, base_url: str) -> None:
        self._schemas: Node = document["components"]["schemas"]
        self._base_url = base_url
        self._met: dict[str, None] = {}

    def group(self, tag: str, operations: Sequence[tuple[str, str, Node]]) -> Group:
        read = [self._operation(*one) for one in operations]
        return Group(tag, tag.replace(" ", "-"), read, list(self._things()))

    def _operation(self, method: str, path: str, one: Node) -> Operation:
        media_type, schema = _content(one.get("requestBody", {}))
        schema = self._resolve(schema)
        answers = [
            Answer(
                status, "" if said["description"] == "Successful Response" else said["description"], self._answer(said)
            )
            for status, said in one["responses"].items()
            if status.startswith("2")
        ]
        return Operation(
            name=one["operationId"],
            method=method.upper(),
            path=path,
            text=one.get("description", ""),
            parameters=[
                self._field(each["name"], each["schema"], is_required=each["required"])
                for each in one.get("parameters", ())
            ],
            body=list(self._fields(schema)),
            answers=answers,
            curl=self._curl(method, path, one, media_type, schema),
        )

    def _things(self) -> Iterator[Thing]:
        """Reading the fields of one may meet another."""
        done: set[str] = set()
        while waiting := [name for name in self._met if name not in done]:
            for name in waiting:
                done.add(name)
                schema = self._schemas[name]
                yield Thing(name, schema.get("title", name), schema.get("description", ""), list(self._fields(schema)))

    def _fields(self, schema: Node) -> Iterator[Field]:
        required = schema.get("required", ())
        for name, each in schema.get("properties", {}).items():
            yield self._field(name, each, is_required=name in required)

    def _field(self, name: str, schema: Node, *, is_required: bool) -> Field:
        otherwise = json.dumps(schema["default"], ensure_ascii=False) if schema.get("default") is not None else ""
        return Field(name, self._kind(schema), is_required, schema.get("description", ""), otherwise)

    def _answer(self, said: Node) -> Kind:
        media_type, schema = _content(said)
        if media_type == "application/json":
            return self._kind(schema)
        return Kind(media_type or "nothing")

    def _kind(self, schema: Node) -> Kind:
        if "$ref" in schema:
            return self._named(schema["$ref"].rpartition("/")[2])
        if "anyOf" in schema:
            kinds = [self._kind(each) for each in schema["anyOf"]]
            return Kind(" or ".join(kind.words for kind in kinds), next((k.thing for k in kinds if k.thing), ""))
        if "enum" in schema or "const" in schema:
            return Kind("one of " + ", ".join(map(str, schema.get("enum", [schema.get("const")]))))
        if schema.get("type") == "array":
            of = self._kind(schema.get("items", {}))
            return Kind(f"list of {of.words}", of.thing)
        words = FORMATS.get(schema.get("format", "")) or PLAIN.get(schema.get("type", ""), "any value")
        return Kind(words + _bounds(schema))

    def _named(self, name: str) -> Kind:
        schema = self._schemas[name]
        if "properties" not in schema:
            return self._kind(schema)
        self._met[name] = None
        return Kind(schema.get("title", name), name)

    def _curl(self, method: str, path: str, one: Node, media_type: str, schema: Node) -> str:
        for each in one.get("parameters", ()):
            if each["in"] == "path":
                path = path.replace(f"{{{each['name']}}}", str(self._example(each["schema"], each["name"])))
        lines = [f"curl {'' if method == 'get' else f'-X {method.upper()} '}{self._base_url}{path}"]
        lines.append('-H "Authorization: Bearer $TOKEN"')
        if any(each["name"] == "Idempotency-Key" for each in one.get("parameters", ())):
            lines.append(f"-H 'Idempotency-Key: {KEY_EXAMPLE}'")
        if media_type == "multipart/form-data":
            for name, each in schema.get("properties", {}).items():
                value = f"@{each.get('x-file', 'file')}" if each.get("format") == "binary" else each.get("example", 1)
                lines.append(f"-F {name}={shlex.quote(str(value))}")
        elif media_type:
            lines.append("-H 'Content-Type: application/json'")
            lines.append(f"-d {shlex.quote(json.dumps(self._body_example(schema), ensure_ascii=False))}")
        return " \\\n  ".join(lines)

    def _body_example(self, schema: Node) -> Any:
        """What must be given, and what has an example."""
        required = schema.get("required", ())
        return {
            name: self._example(each, name)
            for name, each in schema.get("properties", {}).items()
            if name in required or "examples" in each
        }

    def _example(self, schema: Node, name: str = "") -> Any:
        if schema.get("examples"):
            return schema["examples"][0]
        if "$ref" in schema:
            target = self._resolve(schema)
            return self._body_example(target) if "properties" in target else self._example(target)
        if "anyOf" in schema:
            return self._example(schema["anyOf"][0], name)
        if "enum" in schema:
            return schema["enum"][0]
        if schema.get("type") == "array":
            return [self._example(schema["items"])]
        return EXAMPLES.get(schema.get("type", ""), EXAMPLE_TEXTS.get(schema.get("format", name), "…"))

    def _resolve(self, schema: Node) -> Node:
        resolved: Node = self._schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        return resolved


def _content(holder: Node) -> tuple[str, Node]:
    """The media type and the schema of a body or an answer; nothing where there is none."""
    for media_type, content in holder.get("content", {}).items():
        return media_type, content.get("schema", {})
    return "", {}


def _bounds(schema: Node) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None or most is None or most >= 2**53:
        return ""
    return f", {least:,} to {most:,}"
