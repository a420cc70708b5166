"""API: who asks, and the API tokens of that user."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from email_campaign.accounts import tokens
from email_campaign.accounts.tokens import ApiToken
from email_campaign.accounts.users import Role
from email_campaign.web.deps import ApiUser, NowDep, PathId, SessionDep
from email_campaign.web.paging import Page, PageDep, read_page

router = APIRouter(tags=["accounts"])


class UserOut(BaseModel):
    """The user of the token."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    address: Annotated[str, Field(examples=["ada@example.com"])]
    name: Annotated[str, Field(examples=["Ada Lovelace"])]
    role: Role
    created_at: datetime


class TokenIn(BaseModel):
    """A token to be made."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(description="What it is for, such as the script's name.", examples=["nightly import"])]


class TokenOut(BaseModel):
    """A token without its secret."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: Annotated[str, Field(examples=["nightly import"])]
    prefix: Annotated[str, Field(description="Its first characters.", examples=["ec_Zk3v_Q"])]
    created_at: datetime
    last_used_at: datetime | None = Field(description="To the minute; null if it was never used.")


class NewTokenOut(TokenOut):
    """A token with its secret, which is shown this once."""

    token: Annotated[str, Field(examples=["ec_Zk3v_Q5w1nXb0yLr8sTqJ4uA7cKmDpHgFeW2iNoV"])]


@router.get("/me")
def show_me(user: ApiUser) -> UserOut:
    """The user whose token this is."""
    return UserOut.model_validate(user)


@router.get("/tokens")
def list_tokens(session: SessionDep, user: ApiUser, page: PageDep) -> Page[TokenOut]:
    """Your live tokens, the newest first."""
    rows = read_page(session, tokens.list_tokens(user.id), [ApiToken.id], page)
    return Page(items=[TokenOut.model_validate(token) for token in rows.items], next=rows.next)


@router.post("/tokens", status_code=201)
def create_token(session: SessionDep, user: ApiUser, now: NowDep, wanted: TokenIn) -> NewTokenOut:
    """Make a token for yourself. Its secret is in this answer and nowhere else, so no Idempotency-Key keeps the answer.

    If it was lost on the way, revoke the token, which is the newest of the list, and make another.
    """
    token, secret = tokens.create_token(session, user_id=user.id, name=wanted.name, now=now)
    session.commit()
    return NewTokenOut(**TokenOut.model_validate(token).model_dump(), token=secret)


@router.delete("/tokens/{token_id}", status_code=204)
def revoke_token(session: SessionDep, user: ApiUser, now: NowDep, token_id: PathId) -> None:
    """From the next request on, the token is refused."""
    tokens.revoke_token(session, user_id=user.id, token_id=token_id, now=now)
    session.commit()
