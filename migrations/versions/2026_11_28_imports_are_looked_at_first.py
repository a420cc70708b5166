"""Imports are looked at first: their mapping, the check of their files, and what a resumed task had done before.

A migration must work with the previous release still running: add before you use, stop using before you drop;
create indexes on large tables CONCURRENTLY (outside a transaction); no rewrite of deliveries or attempts.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "7c1e5d20a4b9"
down_revision = "5c1e7a90b3d2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("imports", sa.Column("mapping", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("imports", sa.Column("line_count", sa.BigInteger(), nullable=True))
    op.add_column("imports", sa.Column("unreadable_count", sa.BigInteger(), nullable=True))
    for name in ("line_count", "text_count", "unreadable_count"):
        op.add_column("import_chunks", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("tasks", sa.Column("earlier_count", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    # The release before does not know an import without a task.
    op.execute("DELETE FROM imports WHERE task_id IS NULL")
    op.drop_column("tasks", "earlier_count")
    for name in ("unreadable_count", "text_count", "line_count"):
        op.drop_column("import_chunks", name)
    op.drop_column("imports", "unreadable_count")
    op.drop_column("imports", "line_count")
    op.drop_column("imports", "mapping")
