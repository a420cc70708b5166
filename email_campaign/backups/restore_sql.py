"""What a restore says around the backup: before it, what is there goes; after it, nothing sends by itself.

The statements after it meet the schema of whatever release made the backup: what the first had not is asked for.
"""

from psycopg import sql

from email_campaign.db import MIGRATION_LOCK

SKIPPED_IDS = 1_000_000
"""Mailings made after the backup had ids, which stand in links and Message-IDs out there: they are not given again."""

CONNECTED = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'email-campaign' AND pid <> pg_backend_pid()
"""

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"

BEFORE = f"""
SET lock_timeout = '10s';
SELECT pg_advisory_xact_lock({MIGRATION_LOCK});
DO $$
DECLARE one text;
BEGIN
    -- All statements are made before the first is carried out, which may take others' subjects along.
    FOREACH one IN ARRAY ARRAY(
        SELECT format('DROP %s IF EXISTS public.%I CASCADE', CASE c.relkind WHEN 'v' THEN 'VIEW'
            WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.relname)
        FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT EXISTS (
            SELECT FROM pg_depend d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'i'))
        UNION ALL
        SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure)
        FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'))
    LOOP
        EXECUTE one;
    END LOOP;
END $$;
"""  # noqa: S608 – a number of ours
"""What is there goes, but for what belongs to an extension."""

_AFTER = sql.SQL("""
WITH stopped AS (
    UPDATE public.mailings
    SET state = CASE WHEN kind IN ('campaign', 'transactional') THEN 'paused' ELSE 'cancelled' END
    WHERE state = 'sending' RETURNING id, state
)
INSERT INTO public.mailing_events (mailing_id, actor, kind, detail)
SELECT id, 'system', state, CASE state WHEN 'paused' THEN {paused} ELSE {restored} END FROM stopped;

INSERT INTO public.mailing_events (mailing_id, actor, kind, detail)
SELECT m.id, 'system', 'restored', CASE m.state WHEN 'paused' THEN {paused} ELSE {draft} END
FROM public.mailings m
WHERE m.kind IN ('campaign', 'transactional') AND m.state IN ('paused', 'draft', 'failed') AND NOT EXISTS (
    SELECT FROM public.mailing_events e WHERE e.mailing_id = m.id AND e.at = now() AND e.kind = 'paused');

WITH taken_back AS (UPDATE public.mailings SET state = 'draft' WHERE state = 'scheduled' RETURNING id)
INSERT INTO public.mailing_events (mailing_id, actor, kind, detail)
SELECT id, 'system', 'draft', {draft} FROM taken_back;
UPDATE public.campaigns SET scheduled_at = NULL WHERE scheduled_at IS NOT NULL;

UPDATE public.tasks SET state = 'cancelled', finished_at = now(), lease_until = NULL, error = {restored}
WHERE finished_at IS NULL AND kind IN ('backup', 'resolve_unknown');

DO $$
BEGIN
    IF to_regclass('public.welcomes') IS NOT NULL THEN
        DELETE FROM public.welcomes WHERE mailing_id IS NULL;
    END IF;
END $$;

DELETE FROM public.sessions;

SELECT setval(pg_get_serial_sequence('public.mailings', 'id'), coalesce(max(id), 0) + {skipped}) FROM public.mailings;
""")


def after(made_at: str) -> str:
    """Pause, take back and end whatever would send by itself, and say so in every timeline.

    Campaigns and welcome mails that were being sent are paused; mailings of one, which nobody could resume, are
    cancelled; scheduled campaigns are drafts; whoever waited for a welcome mail waits no more; tasks that decide about
    unknown copies are over. Whoever was signed in signs in again.
    """
    restored = f"Restored from the backup of {made_at}. What happened after that is not known here."
    paused = f"{restored} Compare with the relay's log before you resume it, or people get a mail twice."
    draft = f"{restored} If it was launched since, it has gone out: do not launch it again."
    return _AFTER.format(
        restored=sql.Literal(restored),
        paused=sql.Literal(paused),
        draft=sql.Literal(draft),
        skipped=sql.Literal(SKIPPED_IDS),
    ).as_string()
