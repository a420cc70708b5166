"""The demo beside a run: whether it is due, who plays it, and that it neither disturbs nor outlives the service."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import and_, exists, select
from sqlalchemy.orm import Session, sessionmaker

from email_campaign.accounts.tokens import ApiToken, create_token, list_tokens, revoke_token
from email_campaign.accounts.users import Role, User
from email_campaign.audience.contacts import Contact
from email_campaign.campaigns.mailings import Mailing, MailingKind
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory, make_engine
from email_campaign.local import plan
from email_campaign.local.demo.client import DemoFailed
from email_campaign.local.demo.crash import Grip, crash
from email_campaign.local.demo.play import play
from email_campaign.local.demo.steps import Stage
from email_campaign.local.demo.telling import Teller
from email_campaign.local.terminal import Terminal
from email_campaign.settings import Settings

TOKEN_NAME = "demo"  # noqa: S105 – a name, no secret
END_SECONDS = 1.0


class Interrupted(Exception):
    """The run ends, and the demo with it."""


def is_due(session: Session) -> bool:
    """Whether nobody was written to yet, and nobody is known but people of a demo that was cut short."""
    launched = exists().where(Mailing.kind == MailingKind.CAMPAIGN, Mailing.launched_at.is_not(None))
    real = exists().where(and_(Contact.address.not_like("%.example"), Contact.address.not_like("%.test")))
    return not session.scalar(select(launched)) and not session.scalar(select(real))


@dataclass(slots=True)
class Beside:
    """The demo that may play beside a run, and how it went."""

    settings: Settings
    """With the database, and the key that Message-IDs are made with."""
    terminal: Terminal
    ending: threading.Event = field(default_factory=threading.Event)
    has_failed: bool = False

    @property
    def is_crash(self) -> bool:
        """Whether parts of the run are killed."""
        return self.settings.demo == "crash"

    @property
    def crash_has_failed(self) -> bool:
        """Whether a crash demo came to no good end; of the first demo nobody expects an exit code."""
        return self.is_crash and self.has_failed


Pids = Callable[[], Mapping[str, int]]
"""Process groups of the run as they are now, by name."""


def play_on(beside: Beside, addresses: Mapping[str, str], pids: Pids) -> None:
    """Play on the service that runs at these addresses, in this thread. Raises DemoFailed."""
    with _factory(beside.settings) as factory:
        _play(beside, factory, addresses, pids)


@contextmanager
def playing(beside: Beside, pids: Pids) -> Iterator[None]:
    """Play in a thread if it is due; leaving the `with` ends it in silence."""
    thread = threading.Thread(target=_play_if_due, args=(beside, pids), name="demo", daemon=True)
    if beside.settings.demo:
        thread.start()
    try:
        yield
    finally:
        beside.ending.set()
        if thread.ident:
            thread.join(END_SECONDS)


def _play_if_due(beside: Beside, pids: Pids) -> None:
    try:
        with _factory(beside.settings) as factory:
            with factory() as session:
                if not beside.is_crash and not is_due(session):
                    return
            _play(beside, factory, plan.addresses(beside.settings), pids)
    except Exception as error:  # whatever goes wrong here is no reason to end the service
        if not beside.ending.is_set():
            beside.has_failed = True
            why = str(error) if isinstance(error, DemoFailed) else f"{type(error).__name__}: {error}"
            again = "demo --crash" if beside.is_crash else "demo"
            beside.terminal.say(f"The demo stopped. {why}")
            beside.terminal.say(f"The service runs on; `email-campaign {again}` plays it again.\n")


def _play(beside: Beside, factory: SessionFactory, addresses: Mapping[str, str], pids: Pids) -> None:
    def pause(seconds: float) -> None:
        if beside.ending.wait(seconds):
            raise Interrupted

    with _token(factory) as token:
        stage = Stage(addresses["pages"], addresses["inbox"], addresses["smtp"], token, pause)
        if beside.is_crash:
            crash(stage, Teller(beside.terminal), Grip(factory, beside.settings, pids))
        else:
            play(stage, Teller(beside.terminal))


@contextmanager
def _factory(settings: Settings) -> Iterator[SessionFactory]:
    engine = make_engine(settings, pool_size=1)
    try:
        yield sessionmaker(engine)
    finally:
        engine.dispose()


@contextmanager
def _token(factory: SessionFactory) -> Iterator[str]:
    """An API token of the first administrator, for as long as the demo plays. Raises DemoFailed."""
    with factory.begin() as session:
        users = select(User.id).where(User.role == Role.ADMIN, User.disabled_at.is_(None)).order_by(User.id).limit(1)
        user_id = session.scalar(users)
        if user_id is None:
            raise DemoFailed("There is no administrator to play it; make one with `email-campaign create-admin`.")
        # A demo that was killed left its token.
        for left in session.scalars(list_tokens(user_id).where(ApiToken.name == TOKEN_NAME)).all():
            revoke_token(session, user_id=user_id, token_id=left.id, now=utc_now())
        token, secret = create_token(session, user_id=user_id, name=TOKEN_NAME, now=utc_now())
        token_id = token.id
    try:
        yield secret
    finally:
        with factory.begin() as session:
            revoke_token(session, user_id=user_id, token_id=token_id, now=utc_now())
