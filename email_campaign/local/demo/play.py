"""The story of the demo, from a file to letters in the inbox; whatever it says it has counted twice."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from email_campaign.local.demo import steps
from email_campaign.local.demo.client import Client, DemoFailed
from email_campaign.local.demo.people import make_file
from email_campaign.local.demo.steps import Play, Stage
from email_campaign.local.demo.telling import Teller

PEOPLE = 1_000


def play(stage: Stage, tell: Teller, people_count: int = PEOPLE) -> None:
    """Import people, write to them, and prove what arrived. Raises DemoFailed; may be repeated."""
    with Client(f"{stage.pages}/api/v1", stage.token) as api, Client(f"{stage.inbox}/api/v2") as inbox:
        steps.refuse_other_relays(api, stage)
        one = Play(api, inbox, stage, tell, steps.new_name(api))
        file = make_file(people_count)
        tell.say(
            f"{one.name}: {file.contact_count:,} people get a letter, all over the REST API. It stays in the inbox."
        )
        tell.say()
        list_id = steps.import_file(one, file)
        campaign = steps.write(one, list_id)
        mark = steps.mark_of(list_id, campaign)
        before = _letters(one, mark)
        finished = steps.send(one, campaign)
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
    one.tell.fact("Look at", f"the campaign      {steps.page_of(one, campaign)}")
    one.tell.fact("", f"one of its mails  {one.stage.inbox}/mail/{mail['ID']}")
    one.tell.fact("", f"its unsubscribe   {unsubscribe}")
    one.tell.say()


def _letters(one: Play, mark: str) -> int:
    """How many mails to this list are in the inbox; their List-Id is the list's alone."""
    return int(one.inbox.get("/search", kind="containing", query=mark, limit=1)["total"])


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
