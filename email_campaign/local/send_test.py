"""`email-campaign send-test`: one copy of a campaign to an address, through ledger, limits and log like any mail."""

import sys
import time
from argparse import ArgumentParser, Namespace

from sqlalchemy import select

from email_campaign import queue
from email_campaign.address import normalise
from email_campaign.campaigns import campaigns, launching
from email_campaign.campaigns.launching import Recipient
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.attempts import Attempt
from email_campaign.delivery.deliveries import Delivery, DeliveryState
from email_campaign.delivery.preview import preview_campaign, sample_recipient
from email_campaign.errors import Conflict
from email_campaign.settings import Settings

ACTOR = "the command line"
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.1
NOT_YET = 2
"""Exit code where nobody knows yet: not sent, deferred, or unknown."""


def add_arguments(parser: ArgumentParser) -> None:
    """What `send-test` is asked with."""
    parser.add_argument("campaign", type=int, metavar="CAMPAIGN", help="its number: see its page's address")
    parser.add_argument("address", metavar="ADDRESS", help="where the copy goes")
    parser.add_argument("--wait", type=float, default=PATIENCE_SECONDS, metavar="SECONDS", help="for what became of it")


def send_test(arguments: Namespace, settings: Settings, factory: SessionFactory) -> int:
    """Send it, wait, and say what the relay said: 0 accepted, 1 rejected, 2 not known (yet). Raises DomainError."""
    if not settings.secret_key.get_secret_value():
        raise Conflict("SECRET_KEY is not set: without it there is no Message-ID.")
    address, now = normalise(arguments.address), utc_now()
    with factory.begin() as session:
        campaign = campaigns.get(session, arguments.campaign)
        variables = {**sample_recipient(session, campaign.mailing.list_ids), "address": address}
        preview_campaign(session, campaign, variables, settings, now)  # what cannot be rendered is said here
        mailing = launching.send_test(session, campaign, Recipient(address, variables), actor=ACTOR, now=now)
        mailing_id = mailing.id
    queue.nudge(queue.LAUNCH_ONE, mailing_id, by=queue.make_app(settings))
    state = _wait(factory, mailing_id, arguments.wait)
    print(_told(factory, mailing_id, state), file=sys.stdout if state is DeliveryState.ACCEPTED else sys.stderr)
    return {DeliveryState.ACCEPTED: 0, DeliveryState.REJECTED: 1, DeliveryState.SKIPPED: 1}.get(state, NOT_YET)


def _wait(factory: SessionFactory, mailing_id: int, seconds: float) -> DeliveryState:
    deadline = time.monotonic() + seconds
    while True:
        with factory() as session:
            state = session.scalar(select(Delivery.state).where(Delivery.mailing_id == mailing_id))
        seen = DeliveryState(state or DeliveryState.PENDING)
        if seen not in {DeliveryState.PENDING, DeliveryState.SENDING} or time.monotonic() > deadline:
            return seen
        time.sleep(LOOK_SECONDS)


def _told(factory: SessionFactory, mailing_id: int, state: DeliveryState) -> str:
    with factory() as session:
        last = session.scalars(
            select(Attempt).where(Attempt.mailing_id == mailing_id).order_by(Attempt.number.desc()).limit(1)
        ).first()
    delivery = f"Delivery {mailing_id}-1 is {state}"
    if last is None:
        waits = state in {DeliveryState.PENDING, DeliveryState.SENDING}
        return f"{delivery}.{' Is a send worker running? It goes out when one is.' if waits else ''}"
    said = " ".join(str(part) for part in (last.code, last.enhanced_code, last.reply) if part)
    return f"{delivery}. The relay said: {said or 'nothing'}"
