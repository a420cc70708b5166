"""Attachments of campaigns and content versions.

A migration must work with the previous release still running: add before you use, stop using before you drop;
create indexes on large tables CONCURRENTLY (outside a transaction); no rewrite of deliveries or attempts.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "4b8d2f6a1c73"
down_revision = "7c1e5d20a4b9"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attachments",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachments")),
        sa.UniqueConstraint("sha256", name=op.f("uq_attachments_sha256")),
    )
    # Files are compressed mostly, and are read piece by piece: of a compressed value each piece would unpack the whole.
    op.execute("ALTER TABLE attachments ALTER COLUMN data SET STORAGE EXTERNAL")
    for table in ("campaigns", "content_versions"):
        ids = sa.Column("attachment_ids", postgresql.ARRAY(sa.BigInteger()), server_default="{}", nullable=False)
        op.add_column(table, ids)


def downgrade() -> None:
    # What mailings with attachments said cannot be told from the same words without them.
    op.drop_column("content_versions", "attachment_ids")
    op.drop_column("campaigns", "attachment_ids")
    op.drop_table("attachments")
