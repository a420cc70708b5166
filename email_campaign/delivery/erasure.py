"""Erasure: a person is forgotten, also by the send log, which keeps what their mails were composed from."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.audience.contacts import erase_contact


def erase_person(session: Session, contact_id: int) -> None:
    """Forget the contact as `erase_contact` does, and of their attempts the variables, and addresses in replies.

    Copies and attempts stay, with hash, states, times and codes: the counts add up, and nobody is mailed twice. Raises
    NotFound.
    """
    erase_contact(session, contact_id)
    session.execute(_FORGET, {"contact": contact_id})


# By way of the mailings, since no index has the contact alone: one probe for each.
_FORGET = text(r"""
UPDATE attempts a
SET variables = NULL, reply = regexp_replace(a.reply, '[^\s<>@"''(),;[\]]+@', '…@', 'g')
FROM mailings m JOIN deliveries d ON d.mailing_id = m.id AND d.contact_id = :contact
WHERE m.launched_at IS NOT NULL AND a.mailing_id = d.mailing_id AND a.position = d.position
    AND (a.variables IS NOT NULL OR a.reply LIKE '%@%')
""")
