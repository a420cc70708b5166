"""The living style page: every part in every state, for administrators."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from email_campaign.web.deps import AdminPageUser
from email_campaign.web.pages import render
from email_campaign.web.styles_page import styles_context

router = APIRouter()


@router.get("/styles")
def show_styles(request: Request, _user: AdminPageUser) -> Response:
    """Every part of the pages."""
    return render(request, "admin/styles.html", **styles_context())
