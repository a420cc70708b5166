"""The story of the demo, from a file to letters in the inbox; whatever it says it has counted twice."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from email_campaign.local.demo import letter
from email_campaign.local.demo.client import Client, DemoFailed
from email_campaign.local.demo.people import File, make_file
from email_campaign.local.demo.telling import Teller, number_of
from email_campaign.local.plan import reachable_host

PEOPLE = 1_000
NAME = "Demo"
LOOK_SECONDS = 0.2
STILL_SECONDS = 60.0
"""Who waits in vain for so long gives up; the service may well go on."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demo plays."""

    pages: str
    inbox: str
    smtp: str
    """`host:port` of the inbox, the only relay that the demo mails through."""
    token: str
    pause: Callable[[float], None]
    """Waits so many seconds, and may raise to end the demo."""


@dataclass(frozen=True, slots=True)
class Play:
    """One playing: its servers, its teller, and the name of all that it makes."""

    api: Client
    inbox: Client
    stage: Stage
    tell: Teller
    name: str


def play(stage: Stage, tell: Teller, people_count: int = PEOPLE) -> None:
    """Import people, write to them, and prove what arrived. Raises DemoFailed; may be repeated."""
    with Client(f"{stage.pages}/api/v1", stage.token) as api, Client(f"{stage.inbox}/api/v2") as inbox:
        _refuse_other_relays(api, stage)
        one = Play(api, inbox, stage, tell, _new_name(api))
        file = make_file(people_count)
        tell.say(
            f"{one.name}: {file.contact_count:,} people get a letter, all over the REST API. It stays in the inbox."
        )
        tell.say()
        list_id = _import(one, file)
        campaign = _write(one, list_id)
        mark = f"<list-{list_id}.{campaign['from_address'].rpartition('@')[2]}>"
        before = _letters(one, mark)
        finished = _send(one, campaign)
        _prove(one, finished, campaign["confirmed_count"], _letters(one, mark) - before)
        _show_doors(one, finished, mark)


def contradictions(counts: Mapping[str, int], confirmed_count: int, log: Counter[str], letter_count: int) -> list[str]:
    """What speaks against the counts of a finished campaign; of an unknown copy nobody knows whether it arrived."""
    wrong = []
    if sum(counts.values()) != confirmed_count:
        wrong.append(f"{confirmed_count:,} are confirmed on the list, and the states have {sum(counts.values()):,}")
    if log != Counter(counts):
        wrong.append(f"the send log has {', '.join(f'{count:,} {state}' for state, count in log.items()) or 'no row'}")
    if not counts["accepted"] <= letter_count <= counts["accepted"] + counts["unknown"]:
        wrong.append(f"{counts['accepted']:,} were accepted, and the inbox has {letter_count:,}")
    return wrong


def _refuse_other_relays(api: Client, stage: Stage) -> None:
    relay = api.get("/relay")
    if f"{reachable_host(relay['host'])}:{relay['port']}" != stage.smtp:
        msg = f"The demo mails our inbox only, and the relay is {relay['host']}:{relay['port']}."
        raise DemoFailed(msg)


def _new_name(api: Client) -> str:
    taken = [one["name"] for path in ("/lists", "/templates", "/campaigns") for one in api.items(path)]
    return f"{NAME} {1 + max((number_of(name, NAME) for name in taken), default=0)}"


def _import(one: Play, file: File) -> int:
    """The id of a new list with the people of the file."""
    one.api.post("/suppressions", address=file.unwilling, detail="asked for no more mail")
    one.tell.fact("Suppressed", f"{file.unwilling}, who asked for no more mail")
    list_id = one.api.post("/lists", name=one.name, description="People of the demo; none of them exists.")["id"]
    file_name = f"{one.name.lower().replace(' ', '-')}.csv"
    started = one.api.upload("/imports", file_name, file.csv, list_id=str(list_id))
    done = _await_import(one, started)
    counts = done["counts"]
    fates = ("created", "changed", "unchanged", "repeated", "refused")
    said = ", ".join(f"{counts[fate]:,} {fate}" for fate in fates if counts[fate])
    one.tell.fact("Imported", f"{file_name}, {counts['rows']:,} rows: {said}")
    for refusal in one.api.items(f"/imports/{done['id']}/refusals"):
        one.tell.detail(f"line {refusal['line']:>3,}  {refusal['reason']}")
    if counts["rows"] != file.row_count or sum(counts[fate] for fate in fates) != file.row_count:
        msg = f"The import speaks of {said}, and the file has {file.row_count:,} rows."
        raise DemoFailed(msg)
    return int(list_id)


def _await_import(one: Play, started: Mapping[str, Any]) -> Any:
    """The import once its task has ended: read after it, for only then are its counts the last ones."""
    deadline = time.monotonic() + STILL_SECONDS
    while (task := one.api.get(f"/tasks/{started['task_id']}"))["state"] in {"waiting", "running"}:
        if time.monotonic() > deadline:
            msg = f"The import did not end within {STILL_SECONDS:.0f} s; is the worker running?"
            raise DemoFailed(msg)
        one.stage.pause(LOOK_SECONDS)
    if task["state"] != "succeeded":
        msg = f"The import {task['state']}: {task['error'] or 'its task says no more'}"
        raise DemoFailed(msg)
    return one.api.get(f"/imports/{started['id']}")


def _write(one: Play, list_id: int) -> Any:
    """A campaign that is ready to be launched, previewed for somebody on the list."""
    template = one.api.post("/templates", name=one.name, subject=letter.SUBJECT, html=letter.html(), text=letter.text())
    campaign = one.api.post(
        "/campaigns", name=one.name, from_name=letter.FROM_NAME, template_id=template["id"], list_ids=[list_id]
    )
    member = one.api.get(f"/lists/{list_id}/members", limit=1)["items"][0]
    preview = one.api.post(f"/campaigns/{campaign['id']}/preview", contact_id=member["contact_id"])
    one.tell.fact(
        "Written", f"template and campaign {one.name}, to {campaign['confirmed_count']:,} confirmed on the list"
    )
    one.tell.fact("Previewed", f"for {preview['to']}: “{preview['subject']}”")
    return campaign


def _send(one: Play, draft: Mapping[str, Any]) -> Any:
    """Launch, follow, and return the finished campaign."""
    path, audience = f"/campaigns/{draft['id']}", draft["confirmed_count"]
    campaign = one.api.post_once(f"{path}/launch", key=f"launch {one.name}")
    moved_at, counts = time.monotonic(), campaign["counts"]
    try:
        while campaign["state"] not in {"finished", "cancelled", "failed"}:
            one.tell.follow(campaign, audience)
            if time.monotonic() - moved_at > STILL_SECONDS:
                why = campaign["why_waiting"] or "nobody can say why."
                msg = f"Nothing moved for {STILL_SECONDS:.0f} s: {why} Follow it at {_page(one, draft)}"
                raise DemoFailed(msg)
            one.stage.pause(LOOK_SECONDS)
            campaign = one.api.get(path)
            if campaign["counts"] != counts:
                moved_at, counts = time.monotonic(), campaign["counts"]
        one.tell.follow(campaign, audience)
    finally:
        one.tell.followed()
    if campaign["state"] != "finished":
        msg = f"Somebody else {campaign['state']} the campaign: {_page(one, draft)}"
        raise DemoFailed(msg)
    return campaign


def _prove(one: Play, campaign: Mapping[str, Any], confirmed_count: int, letter_count: int) -> None:
    """Tell the counts, and hold them against the list, the send log and the inbox."""
    counts = campaign["counts"]
    seconds = (_time(campaign["finished_at"]) - _time(campaign["launched_at"])).total_seconds()
    rate = campaign["average_per_second"] or 0.0
    one.tell.fact("Sent", f"{seconds:.1f} s from launch to finish, {rate:,.0f} recipients a second")
    one.tell.table(counts, one.api.get(f"/campaigns/{campaign['id']}/reasons"))
    log = Counter(row["state"] for row in one.api.items(f"/campaigns/{campaign['id']}/deliveries"))
    if wrong := contradictions(counts, confirmed_count, log, letter_count):
        msg = f"The numbers of {one.name} do not add up: {', and '.join(wrong)}."
        raise DemoFailed(msg)
    one.tell.fact(
        "It adds up",
        f"{confirmed_count:,} on the list = {log.total():,} in the send log; "
        f"{counts['accepted']:,} accepted = {letter_count:,} in the inbox",
    )


def _show_doors(one: Play, campaign: Mapping[str, Any], mark: str) -> None:
    mail = one.inbox.get("/search", kind="containing", query=mark, limit=1)["items"][0]
    unsubscribe = mail["Content"]["Headers"]["List-Unsubscribe"][0].strip("<>")
    one.tell.say()
    one.tell.fact("Look at", f"the campaign      {_page(one, campaign)}")
    one.tell.fact("", f"one of its mails  {one.stage.inbox}/mail/{mail['ID']}")
    one.tell.fact("", f"its unsubscribe   {unsubscribe}")
    one.tell.say()


def _letters(one: Play, mark: str) -> int:
    """How many mails to this list are in the inbox; their List-Id is the list's alone."""
    return int(one.inbox.get("/search", kind="containing", query=mark, limit=1)["total"])


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _page(one: Play, campaign: Mapping[str, Any]) -> str:
    return f"{one.stage.pages}/admin/campaigns/{campaign['id']}"
