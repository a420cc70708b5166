"""A new mailing is large, whatever the statistics say.

A migration must work with the previous release still running: add before you use, stop using before you drop;
create indexes on large tables CONCURRENTLY (outside a transaction); no rewrite of deliveries or attempts.

Statistics are older than a mailing that was launched just now: by them it has no copies, every index that begins with
mailing_id is as good as the primary key, and a look at a slice reads all copies of the mailing. Without statistics of
that column Postgres takes a two-hundredth of the table, and the primary key, which knows the positions too, wins.
"""

from alembic import op

revision = "7c1e0b6f5a2d"
down_revision = "2f49affb7fda"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE deliveries ALTER COLUMN mailing_id SET STATISTICS 0")
    # What an earlier ANALYZE has seen would stay for good. Only a superuser may take it away.
    op.execute("""
        DO $$ BEGIN
            DELETE FROM pg_statistic USING pg_attribute a
            WHERE starelid = a.attrelid AND staattnum = a.attnum
                AND a.attrelid = 'deliveries'::regclass AND a.attname = 'mailing_id';
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'The statistics of deliveries.mailing_id stay as they are.';
        END $$
    """)


def downgrade() -> None:
    op.execute("ALTER TABLE deliveries ALTER COLUMN mailing_id SET STATISTICS -1")
