"""`email-campaign backup` and `restore`: a file from the database, and a database from it, paused and proven."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from alembic.util import CommandError
from sqlalchemy import select
from sqlalchemy.orm import sessionmaker

from email_campaign import log
from email_campaign.backups import daily
from email_campaign.backups.backup import write_backup
from email_campaign.backups.manifest import Manifest, key_mark
from email_campaign.backups.restore import check_target, restore
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import Mailing
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory, make_engine
from email_campaign.delivery.proof import Verdict, prove
from email_campaign.errors import Conflict
from email_campaign.local import migrate
from email_campaign.local.places import named_file
from email_campaign.local.prove import EXIT_CODES
from email_campaign.local.serving import database
from email_campaign.settings import Settings
from email_campaign.tasks.carrying import carry

PROVEN = 5
"""So many of the campaigns that were launched last are proven after a restore."""


def add_backup_arguments(parser: ArgumentParser) -> None:
    """What `backup` is asked with."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "file", nargs="?", type=named_file, metavar="FILE", help="left out: a new file in BACKUP_DIR, named by the time"
    )
    what.add_argument(
        "--task",
        type=int,
        nargs=2,
        metavar=("ID", "TOKEN"),
        help="carry this task out; for the worker, which leased it",
    )


def add_restore_arguments(parser: ArgumentParser) -> None:
    """What `restore` is asked with."""
    parser.add_argument("file", type=named_file, metavar="FILE", help="the backup; its .json stands beside it")
    parser.add_argument("--yes-replace", action="store_true", help="throw away what the database holds now")
    parser.add_argument("--other-key", action="store_true", help="although SECRET_KEY is another one than then")


def backup(arguments: Namespace, settings: Settings) -> int:
    """Make a backup, and say where it is. Raises DomainError."""
    if arguments.task is not None:
        task_id, token = arguments.task
        return _carry(task_id, token, settings)
    now = utc_now()
    file = arguments.file or daily.folder_of(settings) / daily.name_at(now)
    with database(settings) as served:
        made = write_backup(served, file, now, _progress())
    print(f"{file}: {made.bytes:,} bytes, SHA-256 {made.sha256}, schema {made.migration} of release {made.release}.")
    print("Keep SECRET_KEY with it, and both on another machine.")
    return 0


def restore_backup(arguments: Namespace, settings: Settings) -> int:
    """Check a backup, restore it, bring it to this release, prove its last campaigns. The exit code is that of `prove`.

    Raises DomainError, and then, but for a migration that fails, nothing was changed.
    """
    file: Path = arguments.file
    manifest = Manifest.beside(file)
    _check_release(manifest)
    if key_mark(settings) != manifest.key and not arguments.other_key:
        raise Conflict(
            "SECRET_KEY is not the one of the backup. Set the one of that time (`make run` keeps it in its data "
            "folder, in secret-key). Under another one links in mails that went out are dead and suppressions "
            "recognise nobody; if it is lost, --other-key restores all the same."
        )
    with database(settings, alone=True) as served:
        check_target(served, replace=arguments.yes_replace)
        manifest.check(file)
        print(f"The backup of {manifest.shown_time} is whole. Restoring it.", flush=True)
        restore(served, file, manifest)
        migrate.migrate(served)
        engine = make_engine(served, pool_size=1)
        try:
            verdict = _prove_last(sessionmaker(engine, expire_on_commit=False), utc_now())
        finally:
            engine.dispose()
    print(_WHAT_NOW.format(time=manifest.shown_time))
    return EXIT_CODES[verdict]


_WHAT_NOW = """
Restored, and quiet: what was being sent is paused, what was scheduled is a draft, and everybody signs in again.
What happened after {time} is not known here. Before you resume or launch anything:
  - see in the relay's log what went out since; a campaign that was launched since is a draft again, or missing;
  - take in unsubscriptions and complaints since (the log of a proxy before web has each POST to /u/…, ours has none);
  - revoke API tokens and users again that were revoked since."""


def _carry(task_id: int, token: int, settings: Settings) -> int:
    log.configure(settings.log_level, settings.log_format)
    engine = make_engine(settings, pool_size=1)
    try:
        factory = sessionmaker(engine, expire_on_commit=False)
        carry(factory, task_id, token, settings, lambda beat: daily.make_daily(settings, beat))
    finally:
        engine.dispose()
    return 0


def _check_release(manifest: Manifest) -> None:
    try:
        migrate.script().get_revision(manifest.migration)
    except CommandError:
        raise Conflict(
            f"The backup was made by release {manifest.release}, whose schema ({manifest.migration}) this release does "
            "not know: install that release, or a later one, first."
        ) from None


def _prove_last(factory: SessionFactory, now: datetime) -> Verdict:
    """Say of each of the last campaigns whether it holds; the worst of the verdicts."""
    last = (
        select(Campaign.id, Campaign.name)
        .join(Mailing, Mailing.id == Campaign.id)
        .where(Mailing.launched_at.is_not(None))
        .order_by(Mailing.launched_at.desc())
        .limit(PROVEN)
    )
    with factory() as session:
        campaigns = session.execute(last).all()
    verdicts = []
    for campaign_id, name in campaigns:
        verdict = prove(factory, campaign_id, now).verdict
        more = "" if verdict is Verdict.HOLDS else f" `email-campaign prove {campaign_id}` says more."
        print(f"Campaign {campaign_id}, “{name}”: {_WORDS[verdict]}{more}", flush=True)
        verdicts.append(verdict)
    if not campaigns:
        print("No campaign had been launched: there is nothing to prove.")
    return next((one for one in (Verdict.DOES_NOT_HOLD, Verdict.NOT_CHECKED) if one in verdicts), Verdict.HOLDS)


_WORDS = {
    Verdict.HOLDS: "it holds.",
    Verdict.DOES_NOT_HOLD: "IT DOES NOT HOLD.",
    Verdict.NOT_CHECKED: "it could not be checked.",
}


def _progress() -> Callable[[int], None]:
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda size: print(f"\r{size / daily.MEGABYTE:,.0f} MB ", end="", file=sys.stderr, flush=True)
