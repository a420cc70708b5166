"""The recorder outlives whatever it is given, and whatever happens to its connection."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import text

from email_campaign.clock import utc_now
from email_campaign.delivery import leases
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.record import Answer, Recorder
from email_campaign.delivery.results import Claim, Result
from email_campaign.delivery.unknown import Decision, Resolution, resolve
from email_campaign.delivery.workers import Leased
from tests.delivery.conftest import Engine
from tests.tools.loop_thread import LoopThread, running_loop
from tests.tools.proxy import Proxy, running_proxy

ACCEPTED, SENDING = DeliveryState.ACCEPTED, DeliveryState.SENDING
DEFERRED, PENDING, UNKNOWN = DeliveryState.DEFERRED, DeliveryState.PENDING, DeliveryState.UNKNOWN
_CARRIER = text("SELECT slice_id FROM deliveries WHERE mailing_id = :m AND position = :p")


class Office:
    """A recorder behind a proxy, and the rows of a campaign of three that this worker holds."""

    def __init__(self, engine: Engine, proxy: Proxy, thread: LoopThread) -> None:
        self.engine = engine
        self.proxy = proxy
        self._thread = thread
        url = engine.settings.database_url.replace("+psycopg", "", 1)
        conninfo = url.replace(url.rpartition("@")[2].partition("/")[0], "{}:{}".format(*proxy.address))
        self.recorder = Recorder(conninfo, engine.process.worker_id, thread.loop)
        self.mailing_id = engine.launch(3)
        engine.enrol(self.mailing_id)
        self.claims: list[Claim] = []
        for slice_id in engine.dispatch():
            engine.process._hold(slice_id, 1)  # or the beat would give it back
            with engine.factory.begin() as session:
                lease = leases.take(session, slice_id, engine.process.worker_id, 7)
            assert lease
            self.claims += [copy.claim for copy in lease.copies]

    def put(self, *orders: Claim | Result) -> list[Answer]:
        """Hand all of them over at once; their answers."""

        async def answered() -> Sequence[Answer]:
            put = [self.recorder.intend(o) if isinstance(o, Claim) else self.recorder.record(o) for o in orders]
            return await asyncio.gather(*put)

        return list(self._thread.wait_for(answered()))

    def take_back(self, claim: Claim) -> None:
        """As from a worker that is gone."""
        lost = Leased(claim.slice_id, self.mailing_id, self.engine.process.worker_id, claim.token)
        with self.engine.factory.begin() as session:
            leases.take_back(session, lost, why="test")

    def take_again(self, claim: Claim) -> Claim:
        """The same copy in the hands of the next worker."""
        self.engine.dispatch()
        with self.engine.factory.begin() as session:
            where = {"m": self.mailing_id, "p": claim.position}
            slice_id = session.scalar(_CARRIER, where) or claim.slice_id
            self.engine.process._hold(slice_id, 1)
            lease = leases.take(session, slice_id, self.engine.process.worker_id, 8)
        assert lease
        self.claims += [copy.claim for copy in lease.copies]
        return next(copy.claim for copy in lease.copies if copy.claim.position == claim.position)

    def results(self) -> list[Result]:
        """Three mails that were taken."""
        now = utc_now()
        return [
            Result(claim, SENDING, ACCEPTED, now, now, phase="body", code=250, reply="taken", variables={"name": "Zoë"})
            for claim in self.claims
        ]

    def replies(self) -> list[tuple[object, object, object]]:
        """Verdict, words and lateness of every attempt."""
        return [(a["verdict"], a["reply"], a["late"]) for a in self.engine.attempts(self.mailing_id)]


@pytest.fixture
def office(engine_room: Engine) -> Iterator[Office]:
    host, _, port = engine_room.settings.database_url.rpartition("@")[2].partition("/")[0].partition(":")
    with running_proxy((host, int(port))) as proxy, running_loop() as thread:
        opened = Office(engine_room, proxy, thread)
        yield opened
        opened.recorder.close(5.0)
        for claim in opened.claims:
            engine_room.process._hold(claim.slice_id, -1)


@pytest.mark.parametrize(
    "poison",
    [
        {"code": 99_999},  # refused by Postgres, within the transaction
        {"reply": "\0"},  # refused by the driver
        {"reply": "\ud800"},  # refused by Python
        {"variables": {"name": object()}},
    ],
)
def test_a_poisonous_result_takes_no_words_from_its_neighbours(office: Office, poison: dict[str, object]) -> None:
    assert office.put(*office.claims) == ["go"] * 3
    first, second, third = office.results()
    assert office.put(replace(first, **poison), second, third) == ["go"] * 3  # type: ignore[arg-type]
    assert office.engine.states(office.mailing_id) == {ACCEPTED: 3}
    bad, *good = office.replies()
    assert "could not be stored" in str(bad[1])
    assert good == [("accepted", "taken", False)] * 2


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_commit_whose_answer_was_cut_counts_once(office: Office, direction: str) -> None:
    office.proxy.cut_when(b"COMMIT\0", direction="up" if direction == "up" else "down")
    assert office.put(*office.claims) == ["go"] * 3  # also where the intents were committed before the cut
    office.proxy.cut_when(b"COMMIT\0", direction="up" if direction == "up" else "down")
    assert office.put(*office.results()) == ["go"] * 3
    assert office.proxy.cut_count == 2
    assert office.engine.states(office.mailing_id) == {ACCEPTED: 3}
    assert office.replies() == [("accepted", "taken", False)] * 3


def test_results_wait_in_memory_until_postgres_is_back(office: Office) -> None:
    assert office.put(*office.claims) == ["go"] * 3
    office.proxy.refuse()
    waiting = [asyncio.run_coroutine_threadsafe(_record(office, r), office._thread.loop) for r in office.results()]
    assert not any(future.done() for future in waiting)
    assert office.engine.states(office.mailing_id) == {SENDING: 3}
    office.proxy.accept()
    assert [future.result(10) for future in waiting] == ["go"] * 3
    assert office.engine.states(office.mailing_id) == {ACCEPTED: 3}


async def _record(office: Office, result: Result) -> Answer:
    return await office.recorder.record(result)


@pytest.mark.parametrize("step", ["envelope", "body"])
def test_a_late_refusal_of_an_earlier_try_says_nothing_of_a_later_body(office: Office, step: str) -> None:
    first, first_result = office.claims[0], replace(office.results()[0], state=DEFERRED, code=451)
    if step == "envelope":
        first_result = replace(first_result, was=PENDING, phase="rcpt")
    else:
        assert office.put(first) == ["go"]
    office.take_back(first)
    if step == "body":
        with office.engine.factory.begin() as session:
            resend = Decision(Resolution.RESEND, "test", until=utc_now())
            assert resolve(session, office.mailing_id, [first.position], resend, utc_now()) == 1
    second = office.take_again(first)
    assert office.put(second) == ["go"]
    office.take_back(second)  # its body may have gone out
    assert office.put(replace(first_result, next_attempt_at=utc_now())) == ["go"]
    assert office.engine.states(office.mailing_id)[UNKNOWN] == 1
    assert [a["late"] for a in office.engine.attempts(office.mailing_id)][-1] is True


def test_a_late_250_of_an_earlier_try_resolves_whatever_came_later(office: Office) -> None:
    first, first_result = office.claims[0], office.results()[0]
    assert office.put(first) == ["go"]
    office.take_back(first)
    assert office.put(first_result) == ["go"]
    assert office.engine.states(office.mailing_id)[ACCEPTED] == 1
