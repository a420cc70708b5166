"""What people write into each thing that can be edited, by field, and the version of it.

A version is made of a short hash of every field. So it needs no column, it changes whoever writes the row, and from two
of them one sees which fields differ.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from email_campaign.audience.contacts import Contact
from email_campaign.audience.lists import MailingList
from email_campaign.campaigns import limits
from email_campaign.campaigns.campaigns import Draft
from email_campaign.campaigns.limits import RateLimits
from email_campaign.campaigns.mailings import UnknownPolicy
from email_campaign.content.templates import Template, TemplateDraft
from email_campaign.media.images import Image
from email_campaign.reports.scheduled.schedules import Plan

Written = Mapping[str, Any]

HASH_BYTES = 6
"""48 bits, 8 characters a field: two texts of one field that meet by chance are nobody's worry, and nobody's gain."""
HASH_CHARACTERS = 8


def version_of(written: Written) -> str:
    """The version of these fields: equal for the same words, of whatever time."""
    return "".join(_hash(value) for value in written.values())


def changed_since(written: Written, version: str) -> list[str]:
    """The fields that are not as they were in this version; all of them where it is of another make."""
    if len(version) != HASH_CHARACTERS * len(written):
        return list(written)
    parts = (version[at : at + HASH_CHARACTERS] for at in range(0, len(version), HASH_CHARACTERS))
    return [name for (name, value), part in zip(written.items(), parts, strict=True) if _hash(value) != part]


def campaign(draft: Draft) -> Written:
    """Of a campaign."""
    return {
        "name": draft.name,
        "template_id": draft.template_id,
        "list_ids": sorted(draft.list_ids),
        "from_name": draft.from_name,
        "from_address": draft.from_address,
        "reply_to": draft.reply_to,
        "limits": limits.spell(draft.limits),
        "unknown_policy": draft.unknown_policy.value,
        "attachment_ids": list(draft.attachment_ids),
    }


def template(one: Template | TemplateDraft) -> Written:
    """Of a template."""
    return {"name": one.name, "subject": one.subject, "html": one.html, "text": one.text}


def image(one: Image) -> Written:
    """Of an image."""
    return {"alt": one.alt}


def mailing_list(one: MailingList) -> Written:
    """Of a mailing list."""
    return {"name": one.name, "description": one.description, "welcome_template_id": one.welcome_template_id}


def contact(one: Contact) -> Written:
    """Of a contact."""
    return {"name": one.name, "attributes": one.attributes}


def unknown_policy(one: UnknownPolicy) -> Written:
    """Of a campaign that was launched: what happens with its unknown copies."""
    return {"unknown_policy": one.value}


def report_plan(plan: Plan) -> Written:
    """Of the schedule of reports."""
    return {"kinds": sorted(plan.kinds), "hour": plan.hour, "zone": plan.zone}


def rate_limits(ones: RateLimits) -> Written:
    """Of the relay, and of a campaign that is being sent."""
    return {"limits": limits.spell(ones)}


def _hash(value: object) -> str:
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return base64.urlsafe_b64encode(digest[:HASH_BYTES]).decode()
