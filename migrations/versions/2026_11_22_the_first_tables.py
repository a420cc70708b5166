"""The first tables.

A migration must work with the previous release still running: add before you use, stop using before you drop;
create indexes on large tables CONCURRENTLY (outside a transaction); no rewrite of deliveries or attempts.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2f49affb7fda"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A trusted extension: whoever may create tables here may create it; search by a piece of an address needs it.
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.create_table(
        "attempts",
        sa.Column("mailing_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("worker_id", sa.BigInteger(), nullable=False),
        sa.Column("relay_id", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("code", sa.SmallInteger(), nullable=True),
        sa.Column("spared", sa.Boolean(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("enhanced_code", sa.String(), nullable=True),
        sa.Column("reply", sa.String(), nullable=False),
        sa.Column("message_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("variables", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("mailing_id", "position", "number", name=op.f("pk_attempts")),
        postgresql_with={"autovacuum_vacuum_insert_scale_factor": "0.1", "autovacuum_analyze_scale_factor": "0.05"},
    )
    op.create_index(
        op.f("ix_attempts_finished_at"),
        "attempts",
        ["finished_at"],
        unique=False,
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": True},
    )
    op.create_table(
        "contacts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.String(), server_default="", nullable=False),
        sa.Column("attributes", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contacts")),
        sa.UniqueConstraint("address", name=op.f("uq_contacts_address")),
    )
    op.create_index(op.f("ix_contacts_address_hash"), "contacts", ["address_hash"], unique=True)
    op.create_index(
        "ix_contacts_search",
        "contacts",
        ["address", "name"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"address": "gin_trgm_ops", "name": "gin_trgm_ops"},
    )
    op.create_table(
        "content_versions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("html", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("variables", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_content_versions")),
        sa.UniqueConstraint("sha256", name=op.f("uq_content_versions_sha256")),
    )
    op.create_table(
        "counters",
        sa.Column("mailing_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("worker_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("part", sa.BigInteger(), autoincrement=False, server_default="0", nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("mailing_id", "worker_id", "part", "state", name=op.f("pk_counters")),
        postgresql_with={
            "fillfactor": "50",
            "autovacuum_vacuum_scale_factor": "0.02",
            "autovacuum_vacuum_threshold": "500",
        },
    )
    op.create_table(
        "deliveries",
        sa.Column("mailing_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("contact_id", sa.BigInteger(), nullable=True),
        sa.Column("slice_id", sa.BigInteger(), nullable=True),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lane", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("attempt_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("burnt_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("spared_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column(
            "trouble",
            sa.String(),
            sa.Computed(
                "CASE WHEN state IN ('deferred', 'rejected', 'unknown', 'skipped', 'cancelled') THEN state END",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.PrimaryKeyConstraint("mailing_id", "position", name=op.f("pk_deliveries")),
        postgresql_with={
            "fillfactor": "80",
            "autovacuum_vacuum_scale_factor": "0.02",
            "autovacuum_vacuum_threshold": "5000",
            "autovacuum_vacuum_insert_scale_factor": "0.1",
            "autovacuum_analyze_scale_factor": "0.05",
            "autovacuum_vacuum_cost_delay": "0",
        },
    )
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["mailing_id", "next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
    )
    op.create_index(
        "ix_deliveries_trouble",
        "deliveries",
        ["mailing_id", "trouble", "position"],
        unique=False,
        postgresql_where=sa.text("trouble IS NOT NULL"),
        postgresql_include=["reason"],
    )
    op.create_index("uq_deliveries_address", "deliveries", ["mailing_id", "address_hash"], unique=True)
    op.create_index("uq_deliveries_contact", "deliveries", ["mailing_id", "contact_id"], unique=True)
    op.create_table(
        "idempotency_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("response_status", sa.BigInteger(), nullable=False),
        sa.Column("response_body", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_owner_key"), "idempotency_keys", ["owner", "key"], unique=True)
    op.create_table(
        "mailing_lists",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailing_lists")),
    )
    op.create_index(
        "uq_mailing_lists_live_name",
        "mailing_lists",
        [sa.literal_column("lower(name)")],
        unique=True,
        postgresql_where=sa.text("archived_at IS NULL"),
    )
    op.create_table(
        "relays",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(16), server_default="active", nullable=False),
        sa.Column("state_reason", sa.String(), server_default="", nullable=False),
        sa.Column("limits", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("slowed_rate", sa.Double(), nullable=True),
        sa.Column("slowed_from", sa.Double(), nullable=True),
        sa.Column("slowed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("slowed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("slowed_reason", sa.String(), server_default="", nullable=False),
        sa.Column("failure_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("probed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(), server_default="", nullable=False),
        sa.Column("last_error_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_success_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relays")),
        sa.UniqueConstraint("name", name=op.f("uq_relays_name")),
    )
    op.create_table(
        "sign_in_failures",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_failures")),
    )
    op.create_index(op.f("ix_sign_in_failures_failed_at"), "sign_in_failures", ["failed_at"], unique=False)
    op.create_index(
        op.f("ix_sign_in_failures_key_hash_failed_at"), "sign_in_failures", ["key_hash", "failed_at"], unique=False
    )
    op.create_table(
        "slices",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("mailing_id", sa.BigInteger(), nullable=False),
        sa.Column("window_id", sa.BigInteger(), nullable=True),
        sa.Column("first_position", sa.BigInteger(), nullable=True),
        sa.Column("last_position", sa.BigInteger(), nullable=True),
        sa.Column("positions", sa.ARRAY(sa.BigInteger()), nullable=True),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hold_reason", sa.String(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker_id", sa.BigInteger(), nullable=True),
        sa.Column("token", sa.BigInteger(), nullable=True),
        sa.Column("leased_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slices")),
        postgresql_with={"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.02"},
    )
    op.create_index(
        "ix_slices_leased", "slices", ["worker_id"], unique=False, postgresql_where=sa.text("worker_id IS NOT NULL")
    )
    op.create_index(
        "ix_slices_open", "slices", ["mailing_id", "id"], unique=False, postgresql_where=sa.text("closed_at IS NULL")
    )
    op.create_index(
        "ix_slices_put_back",
        "slices",
        ["mailing_id", "id"],
        unique=False,
        postgresql_where=sa.text("closed_at IS NULL AND published_at IS NULL"),
    )
    op.create_index(
        "ix_slices_window", "slices", ["window_id"], unique=False, postgresql_where=sa.text("closed_at IS NULL")
    )
    op.create_table(
        "stretches",
        sa.Column("mailing_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_position", sa.BigInteger(), nullable=False),
        sa.Column("frontier", sa.BigInteger(), nullable=False),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("mailing_id", "first_position", name=op.f("pk_stretches")),
    )
    op.create_table(
        "suppressions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("detail", sa.String(), server_default="", nullable=False),
        sa.Column("mailing_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppressions")),
        sa.UniqueConstraint("address_hash", name=op.f("uq_suppressions_address_hash")),
    )
    op.create_index(
        "ix_suppressions_search",
        "suppressions",
        ["address"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"address": "gin_trgm_ops"},
    )
    op.create_table(
        "templates",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("html", sa.String(), server_default="", nullable=False),
        sa.Column("text", sa.String(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_templates")),
    )
    op.create_index(
        "uq_templates_live_name",
        "templates",
        [sa.literal_column("lower(name)")],
        unique=True,
        postgresql_where=sa.text("archived_at IS NULL"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_sign_in_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("address", name=op.f("uq_users_address")),
    )
    op.create_table(
        "windows",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("mailing_id", sa.BigInteger(), nullable=False),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_windows")),
    )
    op.create_index("ix_windows_mailing", "windows", ["mailing_id", "id"], unique=False)
    op.create_index(
        "ix_windows_open", "windows", ["mailing_id"], unique=False, postgresql_where=sa.text("closed_at IS NULL")
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rate_per_second", sa.Double(), nullable=True),
        sa.Column("connection_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("seen_beat_count", sa.BigInteger(), server_default="-1", nullable=False),
        sa.Column("missed_looks", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("folded_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index("ix_workers_alive", "workers", ["id"], unique=False, postgresql_where=sa.text("ended_at IS NULL"))
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_api_tokens_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_tokens_token_hash")),
    )
    op.create_index(op.f("ix_api_tokens_user_id"), "api_tokens", ["user_id"], unique=False)
    op.create_table(
        "mailings",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=True),
        sa.Column("relay_id", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("content_version_id", sa.BigInteger(), nullable=True),
        sa.Column("from_name", sa.String(), server_default="", nullable=False),
        sa.Column("from_address", sa.String(), nullable=False),
        sa.Column("reply_to", sa.String(), server_default="", nullable=False),
        sa.Column("public_url", sa.String(), nullable=True),
        sa.Column("list_name", sa.String(), nullable=True),
        sa.Column("list_ids", sa.ARRAY(sa.BigInteger()), server_default="{}", nullable=False),
        sa.Column("recipient_address", sa.String(), nullable=True),
        sa.Column("recipient_variables", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("limits", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("unknown_policy", sa.String(16), server_default="hold", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("launched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("enrol_cursor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("next_position", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("enrolled_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("enrolled_to_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("enrolled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rate_per_second", sa.Double(), nullable=True),
        sa.Column("rate_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rate_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts_put_away_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("put_away_cursor", sa.BigInteger(), server_default="1", nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["mailings.id"], name=op.f("fk_mailings_campaign_id_mailings")),
        sa.ForeignKeyConstraint(
            ["content_version_id"],
            ["content_versions.id"],
            name=op.f("fk_mailings_content_version_id_content_versions"),
        ),
        sa.ForeignKeyConstraint(["relay_id"], ["relays.id"], name=op.f("fk_mailings_relay_id_relays")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailings")),
    )
    op.create_index(
        "ix_mailings_busy",
        "mailings",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state IN ('sending', 'paused', 'cancelled') AND settled_at IS NULL"),
    )
    op.create_index(
        op.f("ix_mailings_campaign_id"),
        "mailings",
        ["campaign_id"],
        unique=False,
        postgresql_where=sa.text("campaign_id IS NOT NULL"),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_sessions_token_hash")),
    )
    op.create_index(op.f("ix_sessions_expires_at"), "sessions", ["expires_at"], unique=False)
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"], unique=False)
    op.create_table(
        "subscription_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("list_id", sa.BigInteger(), nullable=False),
        sa.Column("contact_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contacts.id"], name=op.f("fk_subscription_events_contact_id_contacts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription_events")),
    )
    op.create_index(
        op.f("ix_subscription_events_contact_id_list_id_id"),
        "subscription_events",
        ["contact_id", "list_id", "id"],
        unique=False,
    )
    op.create_index(
        "ix_subscription_events_recent",
        "subscription_events",
        ["list_id", "id"],
        unique=False,
        postgresql_where=sa.text("source <> 'import'"),
    )
    op.create_table(
        "subscriptions",
        sa.Column("list_id", sa.BigInteger(), nullable=False),
        sa.Column("contact_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unsubscribed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contacts.id"], name=op.f("fk_subscriptions_contact_id_contacts"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["list_id"], ["mailing_lists.id"], name=op.f("fk_subscriptions_list_id_mailing_lists")),
        sa.PrimaryKeyConstraint("list_id", "contact_id", name=op.f("pk_subscriptions")),
    )
    op.create_index(op.f("ix_subscriptions_contact_id"), "subscriptions", ["contact_id"], unique=False)
    op.create_index("ix_subscriptions_list_state", "subscriptions", ["list_id", "state"], unique=False)
    op.create_table(
        "tasks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=True),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("state", sa.String(16), server_default="waiting", nullable=False),
        sa.Column("done_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("total_count", sa.BigInteger(), nullable=True),
        sa.Column("cursor", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("lease_token", sa.BigInteger(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("nudged_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("interruption_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_tasks_created_by_users"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
    )
    op.create_index(op.f("ix_tasks_kind_subject_id"), "tasks", ["kind", "subject_id"], unique=False)
    op.create_index("ix_tasks_open", "tasks", ["id"], unique=False, postgresql_where=sa.text("finished_at IS NULL"))
    op.create_table(
        "campaigns",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("template_id", sa.BigInteger(), nullable=True),
        sa.Column("scheduled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_campaigns_created_by_users"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["id"], ["mailings.id"], name=op.f("fk_campaigns_id_mailings")),
        sa.ForeignKeyConstraint(["template_id"], ["templates.id"], name=op.f("fk_campaigns_template_id_templates")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
    )
    op.create_index(
        "ix_campaigns_due",
        "campaigns",
        ["scheduled_at"],
        unique=False,
        postgresql_where=sa.text("scheduled_at IS NOT NULL"),
    )
    op.create_table(
        "imports",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("list_id", sa.BigInteger(), nullable=True),
        sa.Column("task_id", sa.BigInteger(), nullable=True),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("file_bytes", sa.BigInteger(), nullable=False),
        sa.Column("file_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("layout", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("changed_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unchanged_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("repeated_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("refused_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("suppressed_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unsubscribed_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("recoded_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_imports_created_by_users"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["list_id"], ["mailing_lists.id"], name=op.f("fk_imports_list_id_mailing_lists")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_imports_task_id_tasks")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
    )
    op.create_index(op.f("ix_imports_list_id"), "imports", ["list_id"], unique=False)
    op.create_index(op.f("ix_imports_task_id"), "imports", ["task_id"], unique=False)
    op.create_table(
        "mailing_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("mailing_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["mailing_id"], ["mailings.id"], name=op.f("fk_mailing_events_mailing_id_mailings"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailing_events")),
    )
    op.create_index(op.f("ix_mailing_events_mailing_id_id"), "mailing_events", ["mailing_id", "id"], unique=False)
    op.create_table(
        "import_chunks",
        sa.Column("import_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["imports.id"], name=op.f("fk_import_chunks_import_id_imports"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("import_id", "number", name=op.f("pk_import_chunks")),
    )
    op.create_table(
        "import_contacts",
        sa.Column("import_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("contact_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("import_id", "contact_id", name=op.f("pk_import_contacts")),
    )
    op.create_table(
        "import_refusals",
        sa.Column("import_id", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("row", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["imports.id"], name=op.f("fk_import_refusals_import_id_imports"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("import_id", "line", name=op.f("pk_import_refusals")),
    )
    op.execute("INSERT INTO relays (name) VALUES ('relay')")


def downgrade() -> None:
    op.drop_table("import_refusals")
    op.drop_table("import_contacts")
    op.drop_table("import_chunks")
    op.drop_index(op.f("ix_mailing_events_mailing_id_id"), table_name="mailing_events")
    op.drop_table("mailing_events")
    op.drop_index(op.f("ix_imports_task_id"), table_name="imports")
    op.drop_index(op.f("ix_imports_list_id"), table_name="imports")
    op.drop_table("imports")
    op.drop_index("ix_campaigns_due", table_name="campaigns", postgresql_where=sa.text("scheduled_at IS NOT NULL"))
    op.drop_table("campaigns")
    op.drop_index("ix_tasks_open", table_name="tasks", postgresql_where=sa.text("finished_at IS NULL"))
    op.drop_index(op.f("ix_tasks_kind_subject_id"), table_name="tasks")
    op.drop_table("tasks")
    op.drop_index("ix_subscriptions_list_state", table_name="subscriptions")
    op.drop_index(op.f("ix_subscriptions_contact_id"), table_name="subscriptions")
    op.drop_table("subscriptions")
    op.drop_index(
        "ix_subscription_events_recent",
        table_name="subscription_events",
        postgresql_where=sa.text("source <> 'import'"),
    )
    op.drop_index(op.f("ix_subscription_events_contact_id_list_id_id"), table_name="subscription_events")
    op.drop_table("subscription_events")
    op.drop_index(op.f("ix_sessions_user_id"), table_name="sessions")
    op.drop_index(op.f("ix_sessions_expires_at"), table_name="sessions")
    op.drop_table("sessions")
    op.drop_index(
        op.f("ix_mailings_campaign_id"), table_name="mailings", postgresql_where=sa.text("campaign_id IS NOT NULL")
    )
    op.drop_index(
        "ix_mailings_busy",
        table_name="mailings",
        postgresql_where=sa.text("state IN ('sending', 'paused', 'cancelled') AND settled_at IS NULL"),
    )
    op.drop_table("mailings")
    op.drop_index(op.f("ix_api_tokens_user_id"), table_name="api_tokens")
    op.drop_table("api_tokens")
    op.drop_index("ix_workers_alive", table_name="workers", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_table("workers")
    op.drop_index("ix_windows_open", table_name="windows", postgresql_where=sa.text("closed_at IS NULL"))
    op.drop_index("ix_windows_mailing", table_name="windows")
    op.drop_table("windows")
    op.drop_table("users")
    op.drop_index("uq_templates_live_name", table_name="templates", postgresql_where=sa.text("archived_at IS NULL"))
    op.drop_table("templates")
    op.drop_index("ix_suppressions_search", table_name="suppressions")
    op.drop_table("suppressions")
    op.drop_table("stretches")
    op.drop_index("ix_slices_window", table_name="slices", postgresql_where=sa.text("closed_at IS NULL"))
    op.drop_index(
        "ix_slices_put_back",
        table_name="slices",
        postgresql_where=sa.text("closed_at IS NULL AND published_at IS NULL"),
    )
    op.drop_index("ix_slices_open", table_name="slices", postgresql_where=sa.text("closed_at IS NULL"))
    op.drop_index("ix_slices_leased", table_name="slices", postgresql_where=sa.text("worker_id IS NOT NULL"))
    op.drop_table("slices")
    op.drop_index(op.f("ix_sign_in_failures_key_hash_failed_at"), table_name="sign_in_failures")
    op.drop_index(op.f("ix_sign_in_failures_failed_at"), table_name="sign_in_failures")
    op.drop_table("sign_in_failures")
    op.drop_table("relays")
    op.drop_index(
        "uq_mailing_lists_live_name", table_name="mailing_lists", postgresql_where=sa.text("archived_at IS NULL")
    )
    op.drop_table("mailing_lists")
    op.drop_index(op.f("ix_idempotency_keys_owner_key"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index("uq_deliveries_contact", table_name="deliveries")
    op.drop_index("uq_deliveries_address", table_name="deliveries")
    op.drop_index("ix_deliveries_trouble", table_name="deliveries", postgresql_where=sa.text("trouble IS NOT NULL"))
    op.drop_index("ix_deliveries_due", table_name="deliveries", postgresql_where=sa.text("next_attempt_at IS NOT NULL"))
    op.drop_table("deliveries")
    op.drop_table("counters")
    op.drop_table("content_versions")
    op.drop_index("ix_contacts_search", table_name="contacts")
    op.drop_index(op.f("ix_contacts_address_hash"), table_name="contacts")
    op.drop_table("contacts")
    op.drop_table("attempts")
