"""Scheduled reports, and failures that are told by mail.

A migration must work with the previous release still running: add before you use, stop using before you drop;
create indexes on large tables CONCURRENTLY (outside a transaction); no rewrite of deliveries or attempts.

The two BRIN indexes are made in the transaction all the same: one reads its table once and sorts nothing (a second for
ten million rows, in which nobody subscribes), while CONCURRENTLY would wait for the other processes that stand at our
advisory lock, and they for us.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "b93e6d1f4a08"
down_revision = "d3a94c0e71f6"
branch_labels = None
depends_on = None


def upgrade() -> None:
    kind = sa.Enum("daily", "weekly", "monthly", name="reportkind", native_enum=False, length=16)
    op.create_table(
        "reports",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", kind, nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("figures", postgresql.JSONB(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("task_id", sa.BigInteger(), nullable=True),
        sa.Column("mail_wanted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("mailed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("mail_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_reports_task_id_tasks")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reports")),
        sa.UniqueConstraint("kind", "first_day", name=op.f("uq_reports_kind_first_day")),
    )
    op.create_table(
        "report_schedules",
        sa.Column("kind", kind, nullable=False),
        sa.Column("hour", sa.SmallInteger(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_report_schedules")),
    )
    op.create_table(
        "failure_notices",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mailed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_failure_notices")),
    )
    op.add_column("users", sa.Column("gets_reports", sa.Boolean(), nullable=True))
    for table, column in (("subscription_events", "at"), ("suppressions", "created_at")):
        op.create_index(
            op.f(f"ix_{table}_{column}"),
            table,
            [column],
            postgresql_using="brin",
            postgresql_with={"pages_per_range": 32, "autosummarize": True},
        )


def downgrade() -> None:
    op.drop_index(op.f("ix_suppressions_created_at"), table_name="suppressions")
    op.drop_index(op.f("ix_subscription_events_at"), table_name="subscription_events")
    op.drop_column("users", "gets_reports")
    op.drop_table("failure_notices")
    op.drop_table("report_schedules")
    op.drop_table("reports")
