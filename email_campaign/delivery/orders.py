"""What a send process must know of a mailing before it can write its mail: letterhead, rules, limits."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import any_, func, select
from sqlalchemy.orm import Session

from email_campaign.accounts import resets
from email_campaign.address import domain_of
from email_campaign.audience.lists import MailingList
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import Mailing, MailingKind
from email_campaign.content.attachments import Attachment, attached_parts, outlined_parts
from email_campaign.content.dkim import find_signer
from email_campaign.content.language import compile_content
from email_campaign.content.versions import ContentVersion
from email_campaign.delivery import slowing
from email_campaign.delivery.compose import Keys, Letterhead, Press
from email_campaign.delivery.conclude import RetryRules
from email_campaign.delivery.relays import Relay
from email_campaign.delivery.throttle import Limit
from email_campaign.errors import NotFound
from email_campaign.settings import Settings
from email_campaign.signing import derive_key

RESET_URL = "reset_url"
HIDDEN = "only-its-reader-sees-this"


@dataclass(frozen=True, slots=True)
class Order:
    """A mailing as its copies are sent: fixed at launch, so it may be kept."""

    letterhead: Letterhead
    press: Press
    relay_id: int
    rules: RetryRules

    @property
    def attached_bytes(self) -> int:
        """What its attachments take in memory."""
        return sum(len(piece) for part in self.letterhead.attached for piece in part)


def derive_keys(settings: Settings) -> Keys:
    """The keys that mail is made with."""
    secret = settings.secret_key.get_secret_value()
    return Keys(
        message_id=derive_key(secret, "message-id"),
        unsubscribe=derive_key(secret, "unsubscribe"),
        address=derive_key(secret, "address"),
    )


def read_order(session: Session, mailing_id: int, settings: Settings) -> Order:
    """The order of a launched mailing, with its content compiled. Raises NotFound and Invalid."""
    mailing = session.get(Mailing, mailing_id)
    version = session.get(ContentVersion, mailing.content_version_id) if mailing else None
    if mailing is None or version is None:
        raise NotFound(f"There is no launched mailing {mailing_id}.")
    rules = RetryRules(
        delays=settings.retry_delays_seconds,
        limit=settings.retry_limit_seconds,
        deadline_at=mailing.deadline_at,
    )
    letterhead = letterhead_of(session, mailing, version, settings)
    return Order(letterhead, Press(letterhead, derive_keys(settings)), mailing.relay_id, rules)


def attached_bytes(session: Session, mailing_id: int) -> int:
    """What the attachments of a mailing take in its mails, before any of them is read."""
    attached = Attachment.id == any_(ContentVersion.attachment_ids)
    sizes = select(func.coalesce(func.sum(Attachment.size), 0)).join(ContentVersion, attached)
    mailing = Mailing.content_version_id == ContentVersion.id
    return int(session.scalar(sizes.join(Mailing, mailing).where(Mailing.id == mailing_id)) or 0) * 78 // 57


def letterhead_of(
    session: Session, mailing: Mailing, version: ContentVersion, settings: Settings, *, is_shown: bool = False
) -> Letterhead:
    """The letterhead of a mailing, for its content in this version.

    `is_shown`: for people who look at a mail, and have no use for megabytes of base64. Raises Invalid when the words,
    or the DKIM key of the sender's domain, are not fit for use.
    """
    campaign = session.get(Campaign, mailing.campaign_id or mailing.id)
    return Letterhead(
        mailing_id=mailing.id,
        kind=mailing.kind.value,
        campaign_name=campaign.name if campaign else "",
        from_name=mailing.from_name,
        from_address=mailing.from_address,
        reply_to=mailing.reply_to,
        list_ids=tuple(mailing.list_ids),
        list_name=first_list_name(session, mailing) if mailing.list_name is None else mailing.list_name,
        public_url=mailing.public_url or settings.public_url,
        content=compile_content(version.subject, version.html, version.text),
        signer=find_signer(settings.dkim_dir, domain_of(mailing.from_address)),
        own=_own_variables(session, mailing, settings) if mailing.kind is MailingKind.SYSTEM else {},
        attached=(outlined_parts if is_shown else attached_parts)(session, version.attachment_ids),
    )


def without_secrets(letterhead: Letterhead) -> Letterhead:
    """The letterhead for people who look at the mail and are not its reader: the link leads nowhere."""
    if RESET_URL not in letterhead.own:
        return letterhead
    return replace(letterhead, own={**letterhead.own, RESET_URL: f"{letterhead.public_url}/reset/{HIDDEN}"})


def first_list_name(session: Session, mailing: Mailing) -> str:
    """The name that stands in List-Id; empty for a mailing of one."""
    first_list = session.get(MailingList, mailing.list_ids[0]) if mailing.list_ids else None
    return first_list.name if first_list else ""


def _own_variables(session: Session, mailing: Mailing, settings: Settings) -> dict[str, str]:
    """What a system mail says of the service, and of the row that it was sent for. The link is made here, each time."""
    url = mailing.public_url or settings.public_url
    own = {"service_url": url}
    reset = resets.reset_of(session, mailing.id)
    if reset is not None:
        own[RESET_URL] = f"{url}/reset/{resets.link_token(settings, reset)}"
        own["reset_until"] = f"{reset.expires_at.astimezone(UTC):%H:%M} UTC"
    return own


def read_limits(session: Session, mailing_ids: list[int], now: datetime) -> dict[int, tuple[Limit, ...]]:
    """The limits that hold for each mailing now: its relay's, what the relay is slowed to, and its own.

    People edit them while mail is sent. A window has its grants counted under a key of its own.
    """
    rows = session.execute(
        select(Mailing.id, Mailing.limits, Relay)
        .join(Relay, Relay.id == Mailing.relay_id)
        .where(Mailing.id.in_(mailing_ids))
        .execution_options(populate_existing=True)
    )
    limits: dict[int, tuple[Limit, ...]] = {}
    for mailing_id, own, relay in rows:
        of_relay = [Limit(f"relay:{relay.id}:{one.seconds}", one.count, one.seconds) for one in relay.limits]
        of_mailing = [Limit(f"mailing:{mailing_id}:{one.seconds}", one.count, one.seconds) for one in own]
        slowed = slowing.limit_now(relay, now)
        limits[mailing_id] = (*of_relay, *([slowed] if slowed else []), *of_mailing)
    return limits
