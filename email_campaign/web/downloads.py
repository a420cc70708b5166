"""Files that are made while they are sent: the send log that proves itself."""

from datetime import datetime

from starlette.responses import StreamingResponse

from email_campaign.db import SessionFactory
from email_campaign.delivery.proof import prove
from email_campaign.reports.sealed_log import Wanted, sealed_log
from email_campaign.settings import Settings

LOG_MEDIA_TYPE = "application/jsonl"


def stream_log(factory: SessionFactory, wanted: Wanted, settings: Settings, now: datetime) -> StreamingResponse:
    """Read page by page while it is sent; what cannot be exported is refused before the first byte."""
    lines = sealed_log(factory, wanted, settings, now, lambda: prove(factory, wanted.campaign_id, now))
    disposition = f'attachment; filename="campaign-{wanted.campaign_id}-log.jsonl"'
    return StreamingResponse(lines, media_type=LOG_MEDIA_TYPE, headers={"Content-Disposition": disposition})
