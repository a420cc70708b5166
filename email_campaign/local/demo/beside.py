"""The demo beside a run: whether it is due, who plays it, and that it neither disturbs nor outlives the service."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

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
from email_campaign.local.demo.play import Stage, play
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


def play_on(addresses: Mapping[str, str], settings: Settings, terminal: Terminal) -> None:
    """Play on the service that runs at these addresses, in this thread. Raises DemoFailed."""
    with _factory(settings) as factory:
        _play(factory, addresses, terminal, threading.Event())


@contextmanager
def playing(settings: Settings, terminal: Terminal) -> Iterator[None]:
    """Play in a thread if it is due; leaving the `with` ends it in silence."""
    ending = threading.Event()
    thread = threading.Thread(target=_play_if_due, args=(settings, terminal, ending), name="demo", daemon=True)
    if settings.demo:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        if thread.ident:
            thread.join(END_SECONDS)


def _play_if_due(settings: Settings, terminal: Terminal, ending: threading.Event) -> None:
    try:
        with _factory(settings) as factory:
            with factory() as session:
                if not is_due(session):
                    return
            _play(factory, plan.addresses(settings), terminal, ending)
    except Exception as error:  # whatever goes wrong here is no reason to end the service
        if not ending.is_set():
            why = str(error) if isinstance(error, DemoFailed) else f"{type(error).__name__}: {error}"
            terminal.say(f"The demo stopped. {why}")
            terminal.say("The service runs on; `email-campaign demo` plays it again.\n")


def _play(factory: SessionFactory, addresses: Mapping[str, str], terminal: Terminal, ending: threading.Event) -> None:
    def pause(seconds: float) -> None:
        if ending.wait(seconds):
            raise Interrupted

    with _token(factory) as token:
        stage = Stage(addresses["pages"], addresses["inbox"], addresses["smtp"], token, pause)
        play(stage, Teller(terminal))


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
