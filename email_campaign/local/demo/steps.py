"""The steps that every demo is made of: a list out of a file, a campaign out of a letter, launched and followed."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from email_campaign.local.demo import letter
from email_campaign.local.demo.client import Client, DemoFailed
from email_campaign.local.demo.people import File
from email_campaign.local.demo.telling import Teller, number_of
from email_campaign.local.plan import reachable_host

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


def refuse_other_relays(api: Client, stage: Stage) -> None:
    """Raises DemoFailed where mail would leave for anywhere but our inbox."""
    relay = api.get("/relay")
    if f"{reachable_host(relay['host'])}:{relay['port']}" != stage.smtp:
        msg = f"The demo mails our inbox only, and the relay is {relay['host']}:{relay['port']}."
        raise DemoFailed(msg)


def new_name(api: Client) -> str:
    """A name that no list, template or campaign has yet."""
    taken = [one["name"] for path in ("/lists", "/templates", "/campaigns") for one in api.items(path)]
    return f"{NAME} {1 + max((number_of(name, NAME) for name in taken), default=0)}"


def import_file(one: Play, file: File) -> int:
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


def write(one: Play, list_id: int, **fields: object) -> Any:
    """A campaign that is ready to be launched, with these fields, previewed for somebody on the list."""
    template = one.api.post("/templates", name=one.name, subject=letter.SUBJECT, html=letter.html(), text=letter.text())
    words = {"from_name": letter.FROM_NAME, "template_id": template["id"]}
    campaign = one.api.post("/campaigns", name=one.name, list_ids=[list_id], **words, **fields)
    member = one.api.get(f"/lists/{list_id}/members", limit=1)["items"][0]
    preview = one.api.post(f"/campaigns/{campaign['id']}/preview", contact_id=member["contact_id"])
    one.tell.fact(
        "Written", f"template and campaign {one.name}, to {campaign['confirmed_count']:,} confirmed on the list"
    )
    one.tell.fact("Previewed", f"for {preview['to']}: “{preview['subject']}”")
    return campaign


def send(one: Play, draft: Mapping[str, Any], watch: Callable[[Mapping[str, Any]], None] = lambda _: None) -> Any:
    """Launch, follow, and return the finished campaign; `watch` sees it several times a second."""
    path, audience = f"/campaigns/{draft['id']}", draft["confirmed_count"]
    campaign = one.api.post_once(f"{path}/launch", key=f"launch {one.name}")
    moved_at, counts = time.monotonic(), campaign["counts"]
    try:
        while campaign["state"] not in {"finished", "cancelled", "failed"}:
            one.tell.follow(campaign, audience)
            watch(campaign)
            if time.monotonic() - moved_at > STILL_SECONDS:
                why = campaign["why_waiting"] or "nobody can say why."
                msg = f"Nothing moved for {STILL_SECONDS:.0f} s: {why} Follow it at {page_of(one, draft)}"
                raise DemoFailed(msg)
            one.stage.pause(LOOK_SECONDS)
            campaign = one.api.get(path)
            if campaign["counts"] != counts:
                moved_at, counts = time.monotonic(), campaign["counts"]
        one.tell.follow(campaign, audience)
    finally:
        one.tell.followed()
    if campaign["state"] != "finished":
        msg = f"Somebody else {campaign['state']} the campaign: {page_of(one, draft)}"
        raise DemoFailed(msg)
    return campaign


def page_of(one: Play, campaign: Mapping[str, Any]) -> str:
    """Where a person reads about the campaign."""
    return f"{one.stage.pages}/admin/campaigns/{campaign['id']}"


def mark_of(list_id: int, campaign: Mapping[str, Any]) -> str:
    """The List-Id by which the inbox knows the mails to this list, and no others."""
    return f"<list-{list_id}.{campaign['from_address'].rpartition('@')[2]}>"


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
