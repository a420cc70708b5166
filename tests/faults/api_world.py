"""Rows that requests can meet: for every path of the API the ids that stand in it, and some that nobody has."""

import io
import re
from collections.abc import Mapping
from typing import Any

from email_campaign.accounts.tokens import create_token
from email_campaign.audience.import_files import Upload
from email_campaign.audience.imports import start_import
from email_campaign.campaigns.mailings import MailingState
from email_campaign.clock import utc_now
from email_campaign.content.attachments import File, keep
from email_campaign.db import SessionFactory
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.media import images
from email_campaign.reports.scheduled.collect import collect
from email_campaign.reports.scheduled.periods import ReportKind, last_over
from email_campaign.reports.scheduled.report import ask_for
from email_campaign.settings import Settings
from tests.factories import (
    make_attempt,
    make_campaign,
    make_contact,
    make_delivery,
    make_list,
    make_subscription,
    make_suppression,
    make_template,
    make_user,
)
from tests.media import samples

NOWHERE = 999_999_999
STATES = (MailingState.DRAFT, MailingState.SENDING, MailingState.FINISHED)


class World:
    """A team with its lists, people, templates and campaigns in several states."""

    def __init__(self, factory: SessionFactory) -> None:
        self._factory = factory
        with factory.begin() as session:
            self.user_id = make_user(session).id

        self._lasting = self._make(MailingState.FINISHED)

    def places(self, path: str) -> list[dict[str, Any]]:
        """New rows for the parameters of this path, one set each; the last set leads nowhere."""
        if "{" not in path:
            return [{}]
        nowhere = dict.fromkeys(self._lasting, NOWHERE) | {"delivery_id": f"{NOWHERE}-1"}
        return [_pick(path, one) for one in (*map(self._make, STATES), nowhere)]

    def place(self, path: str) -> dict[str, Any]:
        """Rows that were there before anything was asked."""
        return _pick(path, self._lasting)

    def _make(self, state: MailingState) -> dict[str, Any]:
        now = utc_now()
        with self._factory.begin() as session:
            people, letter = make_list(session), make_template(session)
            ada = make_contact(session, name="Ada", attributes={"city": "London"})
            make_subscription(session, ada, people)
            campaign = make_campaign(session, template=letter, lists=[people], state=state)
            prices = keep(session, File(f"prices-{campaign.id}.pdf", "application/pdf", b"%PDF"))
            campaign.attachment_ids = [prices.id]
            unwilling = make_suppression(session, make_contact(session).address)
            upload = Upload("people.csv", iter([b"address\nbob@example.org\n"]), None, self.user_id)
            started = start_import(session, upload, Settings(_env_file=None), now)
            picture = images.Upload("tulips.png", io.BytesIO(samples.png(40, 20)), "Tulips", self.user_id)
            image = images.take_in(session, picture, Settings(_env_file=None), now)
            report = ask_for(session, last_over(ReportKind.MONTHLY, "UTC", now), now).report
            if state is MailingState.FINISHED:
                report.figures, report.made_at = collect(session, report.period, now).to_json(), now
            copies = [
                make_delivery(
                    session, campaign.mailing, ada if verdict is DeliveryState.ACCEPTED else None, state=verdict
                )
                for verdict in (DeliveryState.ACCEPTED, DeliveryState.REJECTED, DeliveryState.UNKNOWN)
                if state is not MailingState.DRAFT
            ]
            for copy in copies:
                make_attempt(session, copy, verdict=DeliveryState(copy.state))
            return {
                "campaign_id": campaign.id,
                "attachment_id": prices.id,
                "template_id": letter.id,
                "list_id": people.id,
                "contact_id": ada.id,
                "suppression_id": unwilling.id,
                "import_id": started.id,
                "image_id": image.id,
                "task_id": started.task_id,
                "report_id": report.id,
                "token_id": create_token(session, user_id=self.user_id, name="spare", now=now)[0].id,
                "delivery_id": f"{campaign.id}-1",
            }


def _pick(path: str, ids: Mapping[str, Any]) -> dict[str, Any]:
    return {name: ids[name] for name in re.findall(r"\{(\w+)\}", path)}
