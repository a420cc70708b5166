"""Files: the send log that proves itself, made while it is sent, what campaigns carry, and the PDF of a report."""

from datetime import datetime
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from email_campaign.content.attachments import Attachment
from email_campaign.db import SessionFactory
from email_campaign.delivery.proof import prove
from email_campaign.reports.scheduled import pdf
from email_campaign.reports.scheduled.report import Report, figures_of
from email_campaign.reports.sealed_log import Wanted, sealed_log
from email_campaign.settings import Settings

LOG_MEDIA_TYPE = "application/jsonl"


def stream_log(factory: SessionFactory, wanted: Wanted, settings: Settings, now: datetime) -> StreamingResponse:
    """Read page by page while it is sent; what cannot be exported is refused before the first byte."""
    lines = sealed_log(factory, wanted, settings, now, lambda: prove(factory, wanted.campaign_id, now))
    disposition = f'attachment; filename="campaign-{wanted.campaign_id}-log.jsonl"'
    return StreamingResponse(lines, media_type=LOG_MEDIA_TYPE, headers={"Content-Disposition": disposition})


def attached_file(one: Attachment) -> Response:
    """An attachment to be saved: whatever it is, no browser opens it in our name."""
    disposition = f"attachment; filename*=UTF-8''{quote(one.name, safe='')}"
    return Response(one.data, media_type="application/octet-stream", headers={"Content-Disposition": disposition})


class PdfResponse(Response):
    """A PDF."""

    media_type = pdf.MEDIA_TYPE


def report_pdf(report: Report, settings: Settings) -> PdfResponse:
    """The report as a file. Raises Conflict while it is being made."""
    made = pdf.render(report, figures_of(report), settings.public_url)
    return PdfResponse(made, headers={"Content-Disposition": f'attachment; filename="{pdf.file_name(report)}"'})
