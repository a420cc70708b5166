"""An import can be undone, and send the welcome mail: what it did to each contact is kept.

A migration must work with the previous release still running: add before you use, stop using before you drop;
create indexes on large tables CONCURRENTLY (outside a transaction); no rewrite of deliveries or attempts.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "3b8e51d7f0c2"
down_revision = "4b8d2f6a1c73"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("imports", sa.Column("sends_welcome", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("imports", sa.Column("undoable_until", sa.DateTime(timezone=True), nullable=True))
    # What an import of the release before has kept of itself goes in the end, as it did there.
    op.execute(
        "UPDATE imports SET undoable_until = tasks.finished_at + interval '7 days' FROM tasks "
        "WHERE tasks.id = imports.task_id AND tasks.state IN ('cancelled', 'failed')"
    )
    op.add_column(
        "import_contacts",
        sa.Column("met_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.add_column("import_contacts", sa.Column("mark", sa.BigInteger(), nullable=True))
    op.add_column("import_contacts", sa.Column("was_created", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("import_contacts", sa.Column("name_before", sa.String(), nullable=True))
    op.add_column(
        "import_contacts", sa.Column("attributes_before", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    )
    # Only imports that run, or stopped within the week, have rows there.
    op.create_index(op.f("ix_import_contacts_contact_id"), "import_contacts", ["contact_id"])


def downgrade() -> None:
    # The release before does not know of subscriptions that were taken back; their rows are gone either way.
    op.execute("DELETE FROM subscription_events WHERE state = 'taken_back'")
    op.drop_index(op.f("ix_import_contacts_contact_id"), table_name="import_contacts")
    for name in ("attributes_before", "name_before", "was_created", "mark", "met_at"):
        op.drop_column("import_contacts", name)
    op.drop_column("imports", "undoable_until")
    op.drop_column("imports", "sends_welcome")
