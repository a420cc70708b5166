"""Log lines: one an event in either style, with ids, and never an address."""

import json
import logging

import pytest

from email_campaign import log
from email_campaign.log import JsonLines, TextLines, blot_addresses


def record(message: str, *arguments: object, error: BaseException | None = None, **extra: object) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.getLogger("probe").makeRecord("probe", logging.ERROR, "f", 1, message, arguments, info, extra=extra)


def failing(words: str) -> BaseException:
    try:
        raise ValueError(words)
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("550 <ada@example.com> unknown", "550 <…@example.com> unknown"),
        ("to zoë.müller+news@bücher.example, later", "to …@bücher.example, later"),
        ('"quoted, local"@example.com', "…@example.com"),
        ("ada@localhost", "…@localhost"),
        ("GET /admin/contacts?q=ada%40example.com", "GET /admin/contacts?q=…%40example.com"),
        ("redis://:hunter2@127.0.0.1:6379/0", "redis://:…@127.0.0.1:6379/0"),
        ("['ada@example.com', 'bob@example.com']", "['…@example.com', '…@example.com']"),
        ("10 mails @ noon", "10 mails @ noon"),
    ],
)
def test_what_looks_like_an_address_loses_its_local_part(written: str, kept: str) -> None:
    assert blot_addresses(written) == kept


@pytest.mark.parametrize("lines", [TextLines(), JsonLines()], ids=["text", "json"])
def test_no_address_gets_into_a_line_by_message_argument_or_exception(lines: logging.Formatter) -> None:
    line = lines.format(record("refused ada@example.com %s", "<bob@example.com>", error=failing("eve@example.com")))
    assert "refused …@example.com <…@example.com>" in line
    assert not {"ada", "bob", "eve"} & set(line.replace("@", " ").replace("<", " ").split())
    assert "eve@" not in line
    assert "ValueError" in line


def test_a_json_line_is_one_line_with_its_ids() -> None:
    with log.ids(request="1a2b"), log.ids(slice=9):
        line = JsonLines().format(record("mailing %d:\nlost", 7, error=failing("why"), mailing=7, other=1))
    assert "\n" not in line
    told = json.loads(line)
    assert told["time"].endswith("+00:00")
    ids = {name: told[name] for name in ("level", "logger", "message", "request", "slice", "mailing")}
    assert ids == {
        "level": "ERROR",
        "logger": "probe",
        "message": "mailing 7:\nlost",
        "request": "1a2b",
        "slice": 9,
        "mailing": 7,
    }
    assert told["exception"].endswith("ValueError: why")
    assert "other" not in told
    assert "request" not in json.loads(JsonLines().format(record("later")))


def test_a_line_without_end_costs_little() -> None:
    assert blot_addresses("x" * 100_000 + "@") == "x" * 100_000 + "@"
