"""The mails themselves, composed again: of one attempt, byte for byte, and of a launched campaign for anybody."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import Mailing
from email_campaign.content.attachments import attachments_of, outlined_parts
from email_campaign.content.mime import BadHeader
from email_campaign.content.versions import ContentVersion
from email_campaign.delivery.attempts import Attempt
from email_campaign.delivery.compose import Press
from email_campaign.delivery.orders import derive_keys, letterhead_of, without_secrets
from email_campaign.delivery.preview import NO_POSITION, Preview, read_mail
from email_campaign.errors import Invalid, NotFound
from email_campaign.settings import Settings


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A copy composed again. `is_same`: these are the bytes that were sent; `why` says otherwise what is known.

    `hides_link`: what is shown differs in its secret link.
    """

    mail: Preview | None
    is_same: bool
    why: str = ""
    hides_link: bool = False


def rebuild(session: Session, attempt: Attempt, address: str | None, settings: Settings) -> Rebuilt:
    """Compose the attempt's mail again from what it kept, and compare its hash with that of the bytes that went out.

    A secret link is compared and not shown: whoever looks at the mail here is not its reader.
    """
    mailing = session.get_one(Mailing, attempt.mailing_id)
    version = session.get(ContentVersion, mailing.content_version_id) if mailing.content_version_id else None
    if address is None:
        return Rebuilt(None, False, "The contact was erased, and the address with it.")
    if attempt.message_sha256 is None or attempt.variables is None or version is None:
        return Rebuilt(None, False, "Nothing was handed over in this attempt.")
    recipient, keys = {**attempt.variables, "address": address}, derive_keys(settings)
    try:
        letterhead = letterhead_of(session, mailing, version, settings)
        message = Press(letterhead, keys).compose(attempt.position, recipient, attempt.started_at)
    except (Invalid, BadHeader) as error:
        return Rebuilt(None, False, str(error))
    is_same = message.sha256 == attempt.message_sha256
    why = "" if is_same else "The hash differs from that of the bytes that were sent."
    shown = without_secrets(letterhead)
    hides_link = shown is not letterhead
    if hides_link or version.attachment_ids:
        shown = replace(shown, attached=outlined_parts(session, version.attachment_ids))
        message = Press(shown, keys).compose(attempt.position, recipient, attempt.started_at)
    mail = replace(read_mail(address, message.data), attachments=attachments_of(session, version.attachment_ids))
    return Rebuilt(mail, is_same, why, hides_link)


def launched_mail(
    session: Session, mailing: Mailing, recipient: Mapping[str, Any], settings: Settings, now: datetime
) -> Preview:
    """What this recipient gets of a launched mailing: its frozen words. Raises NotFound, and Invalid (RenderError)."""
    version = session.get(ContentVersion, mailing.content_version_id) if mailing.content_version_id else None
    if version is None:
        raise NotFound("This campaign was not launched, so its words are not fixed yet.")
    letterhead = letterhead_of(session, mailing, version, settings, is_shown=True)
    message = Press(letterhead, derive_keys(settings)).compose(NO_POSITION, recipient, now)
    mail = read_mail(str(recipient["address"]), message.data)
    return replace(mail, attachments=attachments_of(session, version.attachment_ids))
