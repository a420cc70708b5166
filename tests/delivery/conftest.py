"""A sending engine in this process: the real ledger, recorder and SMTP, driven step by step instead of by Celery."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from email_campaign.audience.lists import MailingList
from email_campaign.campaigns import launching
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery import dispatch, enrol, sweep
from email_campaign.delivery.deliveries import DeliveryState, states_of
from email_campaign.delivery.process import SendProcess
from email_campaign.settings import Settings
from tests import factories
from tests.invariants import check_carried, check_counts, check_settled
from tests.tools.scripted_smtp import Script, ScriptedServer, running_smtp

PATIENCE_SECONDS = 30.0
NUMBERS = itertools.count(1)


STEPS_TOO = pytest.mark.parametrize("script", [True, False], indirect=True, ids=["pipelined", "step by step"])
"""For tests of the conversation: against a relay that offers PIPELINING, and against one that does not."""


class Engine:
    """What Celery does, by hand: enrol, dispatch, send, close windows, sweep."""

    def __init__(self, factory: SessionFactory, settings: Settings, relay: ScriptedServer) -> None:
        self.factory = factory
        self.settings = settings
        self.relay = relay
        self.process = SendProcess(settings, factory)
        self._threads = ThreadPoolExecutor(8)

    def launch(
        self,
        count: int = 5,
        *,
        html: str = '<p>Hello {{ name }} <a href="{{ unsubscribe_url }}">bye</a></p>',
        attributes: Mapping[str, object] | None = None,
        lists: Sequence[MailingList] = (),
        domains: int = 1,
        **mailing: object,
    ) -> int:
        """A launched campaign to so many new contacts on a new list, and to these lists; its id."""
        with self.factory.begin() as session:
            new_list = factories.make_list(session)
            for number in range(count):
                address = f"contact-{next(NUMBERS)}@example{number % domains}.org"
                contact = factories.make_contact(session, address, name="Zoë", attributes=attributes)
                factories.make_subscription(session, contact, new_list)
            template = factories.make_template(session, html=html)
            campaign = factories.make_campaign(session, template=template, lists=[new_list, *lists])
            for name, value in mailing.items():
                setattr(campaign.mailing, name, value)
        with self.factory.begin() as session:
            launching.launch(session, campaign.id, actor="test", now=utc_now())
        return campaign.id

    def enrol(self, mailing_id: int) -> None:
        """Enrol to the end."""
        more = True
        while more:
            with self.factory.begin() as session:
                more = enrol.enrol_page(session, mailing_id, self.settings, utc_now())

    def dispatch(self) -> list[int]:
        """Open windows; the slices that would now be published."""
        with self.factory.begin() as session:
            windows = dispatch.dispatch(session, self.settings, utc_now())
        return [slice_id for window in windows for slice_id in window.slice_ids]

    def send(self, slice_ids: list[int]) -> None:
        """Send these slices side by side."""
        list(self._threads.map(self.process.send_slice, slice_ids))

    def sweep(self) -> None:
        """One sweep, as if the queue had nothing left."""
        sweep.sweep(self.factory, self.settings, utc_now() + timedelta(seconds=0.001), queue_is_empty=True)

    def run(self, mailing_id: int) -> dict[DeliveryState, int]:
        """Work until nothing is left to do, check every invariant, and return the counts."""
        self.enrol(mailing_id)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.is_settled(mailing_id):
            assert time.monotonic() < deadline, self.states(mailing_id)
            self.send(self.dispatch())
            with self.factory.begin() as session:
                dispatch.finish_if_done(session, mailing_id, utc_now())
            with self.factory.begin() as session:
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
                check_counts(session, mailing_id)
                check_carried(session, mailing_id)
        with self.factory() as session:
            check_settled(session, mailing_id, self.settings, self.relay.log)
        return self.states(mailing_id)

    def is_settled(self, mailing_id: int) -> bool:
        """Whether nothing is left to do."""
        with self.factory() as session:
            query = text("SELECT settled_at IS NOT NULL FROM mailings WHERE id = :id")
            return bool(session.scalar(query, {"id": mailing_id}))

    def states(self, mailing_id: int) -> dict[DeliveryState, int]:
        """The counts of the states in which there is any."""
        with self.factory() as session:
            return {state: count for state, count in states_of(session, mailing_id).items() if count}

    def attempts(self, mailing_id: int) -> list[dict[str, object]]:
        """The send log of a mailing, oldest first."""
        query = text("SELECT * FROM attempts WHERE mailing_id = :m ORDER BY position, number")
        with self.factory() as session:
            return [dict(row) for row in session.execute(query, {"m": mailing_id}).mappings()]

    def campaign(self, mailing_id: int) -> Campaign:
        """The campaign, read afresh."""
        with self.factory() as session:
            return session.get_one(Campaign, mailing_id)

    def close(self) -> None:
        """Stop the process."""
        self.process.close(5.0)
        self._threads.shutdown()


@pytest.fixture
def script(request: pytest.FixtureRequest) -> Script:
    """How the relay behaves; tests change it. With PIPELINING, unless a test is parametrised with `STEPS_TOO`."""
    return Script(pipelining=getattr(request, "param", True))


@pytest.fixture
def relay(script: Script, tmp_path: Path) -> Iterator[ScriptedServer]:
    """A scripted SMTP server with a wire log."""
    with running_smtp(script, tmp_path / "wire.jsonl") as server:
        yield server


@pytest.fixture
def make_engine(
    session_factory: SessionFactory, settings: Settings, relay: ScriptedServer
) -> Iterator[Callable[..., Engine]]:
    """Engines with settings of their own."""
    engines: list[Engine] = []

    def make(**update: object) -> Engine:
        changed = settings.model_copy(update={"smtp_port": relay.address[1], **update})
        engines.append(Engine(session_factory, changed, relay))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def engine_room(make_engine: Callable[..., Engine]) -> Engine:
    """One engine with the usual settings."""
    return make_engine()
