"""The story of `DEMO=crash`: a worker and the broker are killed in mid-send, and everybody is accounted for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from email_campaign.db import SessionFactory
from email_campaign.local.demo import ledger, steps
from email_campaign.local.demo.client import Client, DemoFailed
from email_campaign.local.demo.people import make_file
from email_campaign.local.demo.raid import STRIKES, Raid
from email_campaign.local.demo.steps import Play, Stage
from email_campaign.local.demo.telling import STATES, Teller
from email_campaign.local.demo.verdict import Mail, Verdict, judge
from email_campaign.settings import Settings

PEOPLE = 5_000
PER_SECOND = 400
"""The campaign's limit: however fast the machine, it is still sending when it is struck."""
LINK_BYTES = 90_000.0
"""Bytes a second of each connection to the inbox: a letter takes a tenth of a second, so bodies are under way."""
MAIL_BYTES = 20_000
"""More than a letter of ours takes in the inbox."""
INBOX_PAGE = 250
SHOWN = 40
"""So many addresses of one kind are printed; all of them stand on the campaign's page."""


@dataclass(frozen=True, slots=True)
class Grip:
    """What it takes to kill parts of the run and to read its ledger."""

    factory: SessionFactory
    settings: Settings
    pids: Callable[[], Mapping[str, int]]


def crash(stage: Stage, tell: Teller, grip: Grip, people_count: int = PEOPLE) -> None:
    """Send, kill, and reckon. Raises DemoFailed, also where somebody was lost or mailed twice; may be repeated."""
    with Client(f"{stage.pages}/api/v1", stage.token) as api, Client(f"{stage.inbox}/api/v2") as inbox:
        raid = Raid(grip.factory, grip.pids, tell.fact)
        _refuse_to_harm(api, stage, grip, people_count)
        raid.refuse_what_is_not_ours()
        one = Play(api, inbox, stage, tell, steps.new_name(api))
        tell.say(f"{one.name}: {people_count:,} people get a letter, and meanwhile a worker and the broker are killed.")
        tell.say()
        list_id = steps.import_file(one, make_file(people_count))
        draft = steps.write(one, list_id, limits=[{"count": PER_SECOND, "seconds": 1}])
        with grip.factory() as session:
            audience = ledger.audience_of(session, list_id)
        with _slow_link(inbox):
            finished = steps.send(one, draft, raid.look)
        with grip.factory() as session:
            copies = ledger.copies_of(session, finished["id"], grip.settings)
        verdict = judge(audience, copies, _mails(inbox, steps.mark_of(list_id, draft)))
        _tell(tell, verdict, len(audience))
        _tell_times(tell, raid, finished["id"], grip.factory)
        tell.fact("Look at", steps.page_of(one, finished))
        tell.say()
    if not verdict.holds:
        raise DemoFailed("Somebody was lost or mailed twice. This must not happen: please report it, with the logs.")


def _refuse_to_harm(api: Client, stage: Stage, grip: Grip, people_count: int) -> None:
    steps.refuse_other_relays(api, stage)
    if busy := next(api.items("/campaigns", state="sending"), None):
        msg = f"{busy['name']} is being sent, and killing a worker would leave copies of it unknown: let it finish."
        raise DemoFailed(msg)
    settings = grip.settings
    if settings.inbox_keep < people_count or settings.inbox_max_bytes < people_count * MAIL_BYTES:
        msg = (
            f"It sends {people_count:,} mails, and the inbox does not keep as many: set INBOX_KEEP to {people_count} "
            f"and INBOX_MAX_BYTES to {people_count * MAIL_BYTES} at least."
        )
        raise DemoFailed(msg)


@contextmanager
def _slow_link(inbox: Client) -> Iterator[None]:
    """Seat MailHog's Jim in the inbox: he drops nothing, he only makes new connections slow. Raises DemoFailed."""
    inbox.tell("POST", "/jim", AcceptChance=1, LinkSpeedAffect=1, LinkSpeedMin=LINK_BYTES, LinkSpeedMax=LINK_BYTES)
    try:
        yield
    finally:
        inbox.tell("DELETE", "/jim")


def _mails(inbox: Client, mark: str) -> list[Mail]:
    """Every mail to the list that the inbox has. The newest come first, so that one that comes in hides none."""
    found: dict[str, Mail] = {}
    start, total = 0, 1
    while start < total:
        page = inbox.get("/messages", start=start, limit=INBOX_PAGE)
        start, total = start + INBOX_PAGE, page["total"]
        for mail in page["items"]:
            headers = mail["Content"]["Headers"]
            if any(mark in value for value in headers.get("List-Id", [])):
                found[mail["ID"]] = Mail(mail["Raw"]["To"][0], headers.get("Message-ID", [""])[0])
    return list(found.values())


def _tell(tell: Teller, verdict: Verdict, audience_count: int) -> None:
    tell.say()
    tell.row("", "ledger", "inbox")
    for state in STATES:
        if verdict.in_ledger.get(state):
            tell.row(state, verdict.in_ledger[state], verdict.in_inbox.get(state, 0))
    tell.row("audience", audience_count, sum(verdict.in_inbox.values()))
    tell.say()
    tell.row("lost", len(verdict.lost))
    _tell_addresses(tell, verdict.lost)
    tell.row("doubled", len(verdict.doubled))
    _tell_addresses(tell, verdict.doubled)
    has = {True: "the inbox has it", False: "the inbox does not have it"}
    tell.row("unknown", len(verdict.unknown))
    _tell_addresses(tell, {address: has[is_there] for address, is_there in verdict.unknown.items()})


def _tell_addresses(tell: Teller, found: Mapping[str, str]) -> None:
    for address, words in list(found.items())[:SHOWN]:
        tell.detail(f"{address:<44} {words}")
    if len(found) > SHOWN:
        tell.detail(f"and {len(found) - SHOWN:,} more: the campaign's page shows them")


def _tell_times(tell: Teller, raid: Raid, mailing_id: int, factory: SessionFactory) -> None:
    """How long each kill was felt. Raises DemoFailed where one did not come to pass, for then nothing was shown."""
    if len(raid.strikes) < STRIKES or any(strike.back_seconds is None for strike in raid.strikes):
        struck = ", ".join(strike.name for strike in raid.strikes) or "nobody"
        msg = f"The campaign was finished before the raid was over (killed: {struck}), so this shows nothing."
        raise DemoFailed(msg)
    worst = max(strike.back_seconds or 0.0 for strike in raid.strikes)
    tell.row(f"back at work after {worst:.1f} s")
    for strike in raid.strikes:
        tell.detail(
            f"{strike.name} killed: next mail of work that was handed out anew after {strike.back_seconds:.1f} s"
        )
        if strike.dead is None:
            continue
        with factory() as session:
            taken_at = ledger.taken_over(session, mailing_id, strike.dead)
        if taken_at:
            seconds = (taken_at - strike.killed_at).total_seconds()
            tell.detail(f"the {len(strike.dead.positions):,} that it held went to others after {seconds:.1f} s")
    tell.say()
