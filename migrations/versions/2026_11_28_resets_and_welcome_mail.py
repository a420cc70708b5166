"""Password resets by mail, and a welcome mail for a list.

A migration must work with the previous release still running: add before you use, stop using before you drop;
create indexes on large tables CONCURRENTLY (outside a transaction); no rewrite of deliveries or attempts.
"""

import sqlalchemy as sa
from alembic import op

revision = "5c1e7a90b3d2"
down_revision = "8c1f5e0a9d37"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "password_resets",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("mailing_id", sa.BigInteger(), nullable=False),
        sa.Column("password_mark", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["mailing_id"], ["mailings.id"], name=op.f("fk_password_resets_mailing_id_mailings")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_password_resets_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_password_resets")),
        sa.UniqueConstraint("mailing_id", name=op.f("uq_password_resets_mailing_id")),
    )
    op.create_index(op.f("ix_password_resets_user_id"), "password_resets", ["user_id"])
    op.add_column("mailing_lists", sa.Column("welcome_template_id", sa.BigInteger(), nullable=True))
    op.add_column("mailing_lists", sa.Column("welcome_mailing_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(
        op.f("fk_mailing_lists_welcome_template_id_templates"),
        "mailing_lists",
        "templates",
        ["welcome_template_id"],
        ["id"],
    )
    op.create_foreign_key(
        op.f("fk_mailing_lists_welcome_mailing_id_mailings"),
        "mailing_lists",
        "mailings",
        ["welcome_mailing_id"],
        ["id"],
    )
    op.create_table(
        "welcomes",
        sa.Column("list_id", sa.BigInteger(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("contact_id", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mailing_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["list_id"], ["mailing_lists.id"], name=op.f("fk_welcomes_list_id_mailing_lists")),
        sa.PrimaryKeyConstraint("list_id", "address_hash", name=op.f("pk_welcomes")),
    )
    op.create_index(
        "ix_welcomes_waiting",
        "welcomes",
        ["list_id", "confirmed_at"],
        postgresql_where=sa.text("mailing_id IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("welcomes")
    op.drop_column("mailing_lists", "welcome_mailing_id")
    op.drop_column("mailing_lists", "welcome_template_id")
    op.drop_table("password_resets")
