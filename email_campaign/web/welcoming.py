"""After somebody was put on a list: hint at the welcome mail that may be waiting for them."""

from sqlalchemy.orm import Session

from email_campaign import queue
from email_campaign.audience.welcomes import is_somebody_waiting


def nudge_welcome(session: Session, *list_ids: int) -> None:
    """Call it after the commit. What a lost nudge leaves behind is found by the sweep."""
    for list_id in list_ids:
        if is_somebody_waiting(session, list_id):
            queue.nudge(queue.WELCOME, list_id)
