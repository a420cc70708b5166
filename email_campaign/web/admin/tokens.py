"""Pages: the API tokens of whoever is signed in."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from email_campaign.accounts import tokens
from email_campaign.accounts.tokens import ApiToken
from email_campaign.accounts.users import User
from email_campaign.errors import Invalid
from email_campaign.web.deps import NowDep, PageUser, PathId, SessionDep
from email_campaign.web.forms import FormDep
from email_campaign.web.pages import redirect, refuse_form, render

TEMPLATE = "admin/accounts/tokens.html"
HERE = "/admin/settings/tokens"

router = APIRouter(prefix="/settings/tokens")


@router.get("")
def list_tokens(request: Request, session: SessionDep, user: PageUser) -> Response:
    """One's own live tokens, the newest first, and the form for another one."""
    return render(request, TEMPLATE, values={}, errors={}, form_error="", **_context(session, user))


@router.post("")
def create_token(request: Request, session: SessionDep, user: PageUser, form: FormDep, now: NowDep) -> Response:
    """Make an API token. Its secret is on the page that answers and nowhere else, so this one does not redirect."""
    try:
        token, secret = tokens.create_token(session, user_id=user.id, name=form["name"], now=now)
    except Invalid as error:
        return refuse_form(request, TEMPLATE, form, error, **_context(session, user))
    session.commit()
    return render(request, "admin/accounts/new_token.html", token=token, secret=secret)


@router.post("/{token_id}/revoke")
def revoke_token(request: Request, session: SessionDep, user: PageUser, token_id: PathId, now: NowDep) -> Response:
    """Revoke an API token."""
    tokens.revoke_token(session, user_id=user.id, token_id=token_id, now=now)
    session.commit()
    return redirect(request, HERE, "The API token was revoked.")


def _context(session: Session, user: User) -> dict[str, Any]:
    return {"tokens": session.scalars(tokens.list_tokens(user.id).order_by(ApiToken.id.desc())).all()}
