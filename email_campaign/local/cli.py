"""The console command `email-campaign`: its arguments, and failures as sentences instead of tracebacks."""

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import sessionmaker

from email_campaign.accounts.tokens import create_token
from email_campaign.accounts.users import User
from email_campaign.address import BadAddress, domain_of, normalise
from email_campaign.clock import utc_now
from email_campaign.content.dkim import make_key
from email_campaign.db import SessionFactory, make_engine
from email_campaign.delivery.proof import Verdict
from email_campaign.errors import DomainError, Invalid, NotFound
from email_campaign.local import backup, doctor, flower, import_file, places, runfile, send_test, status
from email_campaign.local.administrator import create_administrator, generate_password
from email_campaign.local.demo import beside
from email_campaign.local.demo.beside import Beside
from email_campaign.local.demo.client import DemoFailed
from email_campaign.local.migrate import migrate
from email_campaign.local.ports import PortsUnavailable
from email_campaign.local.programs import StartFailed
from email_campaign.local.prove import EXIT_CODES, add_arguments, prove_campaign, verify_file
from email_campaign.local.reset import reset
from email_campaign.local.run import run
from email_campaign.local.runfile import AlreadyRunning
from email_campaign.local.terminal import Terminal
from email_campaign.media.storage import open_storage
from email_campaign.media.tidy import tidy
from email_campaign.settings import Settings, get_settings

NOT_RUNNING = 3
"""Exit code of `status` when nothing runs, as service managers have it."""


def main() -> None:
    """Entry of the console command."""
    arguments = _parser().parse_args()
    os.chdir(places.CHECKOUT)  # where .env is, from wherever the command is called
    command: Callable[[argparse.Namespace, Settings], int] = arguments.command
    try:
        sys.exit(command(arguments, get_settings()))
    except (DomainError, BadAddress, PortsUnavailable, AlreadyRunning, DemoFailed) as error:
        sys.exit(str(error))
    except StartFailed as failure:
        sys.exit(f"{failure}\n\n{failure.log_tail}" if failure.log_tail else str(failure))
    except (OperationalError, psycopg.OperationalError) as error:
        sys.exit(_unreachable(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="email-campaign", description="A self-hosted e-mail campaign service.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace, Settings], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        return added

    add("run", _run, "run the whole service, with its own Postgres and Valkey unless others are set")
    add("status", _status, "what runs, and where").add_argument("--json", action="store_true", help="for scripts")
    doctor_text = "look at all that must be right for mail to go out, and say how to mend it; exit code 1: it is not"
    add("doctor", _doctor, doctor_text).add_argument("--json", action="store_true", help="for scripts")
    add("migrate", _migrate, "bring the database to this release's schema")
    admin = add("create-admin", _create_admin, "create an administrator; the password is asked for, or generated")
    admin.add_argument("address", help="e-mail address to sign in with")
    token = add("create-token", _create_token, "create an API token; it is shown once")
    token.add_argument("address", help="the user whose token it is")
    token.add_argument("name", help="what it is for, so that you recognise it later")
    dkim = add("dkim-key", _dkim_key, "make a key that signs a domain's mail, and say what to publish in its DNS")
    dkim.add_argument("domain", help="the domain of the senders, such as example.com")
    dkim.add_argument("--selector", default="campaign", help="the key's name in the DNS (default: campaign)")
    add_arguments(add("prove", _prove, "recount a campaign from its rows; the exit code says whether it holds"))
    backup.add_backup_arguments(add("backup", _backup, "back the database up into a file, with a manifest beside it"))
    backup.add_restore_arguments(
        add("restore", _restore, "restore a backup, with everything paused, and prove its last campaigns")
    )
    import_file.add_arguments(add("import", _import, "import a CSV file into a list"))
    add(
        "tidy-images",
        _tidy_images,
        "hold stored images against rows: what is lost is made again, what is nobody's goes",
    )
    send_test.add_arguments(add("send-test", _send_test, "send one copy of a campaign to an address"))
    flower.add_arguments(add("flower", _flower, "Celery's own pages, behind FLOWER_BASIC_AUTH"))
    demo = add("demo", _demo, "play the demo again on the running service: 1,000 letters to our inbox")
    demo.add_argument("--crash", action="store_true", help="kill a worker and the broker in mid-send, and reckon up")
    add("reset", _reset, "delete the data of the embedded services, after asking")
    return parser


def _unreachable(error: OperationalError | psycopg.OperationalError) -> str:
    said = error.orig if isinstance(error, OperationalError) else error
    return f"The database does not answer: {str(said).strip().splitlines()[0]}"


def _run(_: argparse.Namespace, settings: Settings) -> int:
    return run(settings)


def _status(arguments: argparse.Namespace, settings: Settings) -> int:
    seen = status.look(places.data_dir(settings))
    print(status.as_json(seen) if arguments.json else status.as_text(seen))
    return 0 if seen.running else NOT_RUNNING


def _doctor(arguments: argparse.Namespace, settings: Settings) -> int:
    try:
        data_dir = places.data_dir(settings)
        settings = _with_secret_key(settings)
    except OSError:
        data_dir = places.CHECKOUT  # a container, whose file system is for reading only
    found = doctor.examine(settings, data_dir, runfile.find(data_dir))
    print(doctor.as_json(found) if arguments.json else doctor.as_text(found))
    return 0 if doctor.is_well(found) else 1


def _migrate(_: argparse.Namespace, settings: Settings) -> int:
    migrate(_with_database(settings))
    print("The database has this release's schema.")
    return 0


def _create_admin(arguments: argparse.Namespace, settings: Settings) -> int:
    password = getpass.getpass("Password (empty: one is generated): ") if sys.stdin.isatty() else ""
    chosen = password or generate_password()
    with _sessions(_with_database(settings)) as factory, factory.begin() as session:
        create_administrator(session, arguments.address, chosen, utc_now())
    print(f"Created {arguments.address}." + ("" if password else f" Password, shown this once: {chosen}"))
    return 0


def _create_token(arguments: argparse.Namespace, settings: Settings) -> int:
    with _sessions(_with_database(settings)) as factory, factory.begin() as session:
        user_id = session.scalar(select(User.id).where(User.address == normalise(arguments.address)))
        if not user_id:
            raise NotFound(f"There is no user {arguments.address}: create one with `email-campaign create-admin`.")
        _, shown = create_token(session, user_id=user_id, name=arguments.name, now=utc_now())
    print(shown)
    return 0


def _dkim_key(arguments: argparse.Namespace, settings: Settings) -> int:
    if settings.dkim_dir is None:
        raise Invalid("Set DKIM_DIR first, in .env or the environment: the folder in which DKIM keys are kept.")
    domain = domain_of(normalise(f"postmaster@{arguments.domain}"))
    signer = make_key(settings.dkim_dir, domain, arguments.selector)
    print("Publish this TXT record, then restart the service; from then on it signs.")
    print(f"\n{signer.record_name}\n{signer.record}")
    return 0


def _prove(arguments: argparse.Namespace, settings: Settings) -> int:
    """Whatever keeps it from being checked is an answer, too: 1 would say that something is wrong with the campaign."""
    settings = _with_secret_key(settings)
    try:
        if arguments.file:
            return verify_file(arguments, settings)
        with _sessions(_with_database(settings)) as factory:
            return prove_campaign(arguments, settings, factory)
    except (DomainError, StartFailed, OSError) as error:
        print(error, file=sys.stderr)
    except OperationalError as error:
        print(_unreachable(error), file=sys.stderr)
    return EXIT_CODES[Verdict.NOT_CHECKED]


def _backup(arguments: argparse.Namespace, settings: Settings) -> int:
    return backup.backup(arguments, _with_secret_key(settings))


def _restore(arguments: argparse.Namespace, settings: Settings) -> int:
    return backup.restore_backup(arguments, _with_secret_key(settings))


def _import(arguments: argparse.Namespace, settings: Settings) -> int:
    settings = _with_secret_key(_with_database(settings))
    with _sessions(settings) as factory:
        return import_file.import_file(arguments, settings, factory)


def _tidy_images(_: argparse.Namespace, settings: Settings) -> int:
    if "database_url" not in settings.model_fields_set and (running := runfile.find(places.data_dir(settings))):
        settings = doctor.of_run(settings, running)
    with _sessions(_with_database(settings)) as factory:
        tidied = tidy(factory, open_storage(settings), utc_now())
    print(f"{tidied.removed_count:,} files removed; {tidied.again_count:,} images are made again: see Tasks.")
    return 0


def _send_test(arguments: argparse.Namespace, settings: Settings) -> int:
    settings = _with_broker(_with_secret_key(_with_database(settings)))
    with _sessions(settings) as factory:
        return send_test.send_test(arguments, settings, factory)


def _flower(arguments: argparse.Namespace, settings: Settings) -> int:
    return flower.flower(arguments, _with_broker(settings))


def _demo(arguments: argparse.Namespace, settings: Settings) -> int:
    data_dir = places.data_dir(settings)
    running = runfile.find(data_dir)
    if not running:
        raise DemoFailed("The demo plays on a running service; start it with `make run` first.")
    update = {"demo": "crash" if arguments.crash else True}
    demo = Beside(_with_database(_with_secret_key(settings)).model_copy(update=update), Terminal(sys.stdout))
    beside.play_on(demo, running.addresses, lambda: _pids(data_dir))
    return 0


def _pids(data_dir: Path) -> Mapping[str, int]:
    running = runfile.find(data_dir)
    return running.pids if running else {}


def _reset(_: argparse.Namespace, settings: Settings) -> int:
    print(reset(places.data_dir(settings), input))
    return 0


@contextmanager
def _sessions(settings: Settings) -> Iterator[SessionFactory]:
    engine = make_engine(settings, pool_size=1)
    try:
        yield sessionmaker(engine, expire_on_commit=False)
    finally:
        engine.dispose()


def _with_database(settings: Settings) -> Settings:
    """The settings, with the database of the running service where none is set."""
    if "database_url" in settings.model_fields_set:
        return settings
    running = runfile.find(places.data_dir(settings))
    if not running:
        raise StartFailed("No database: set DATABASE_URL, or start the service with `make run` first.")
    return settings.model_copy(update={"database_url": running.addresses["database"]})


def _with_broker(settings: Settings) -> Settings:
    """The settings, with the broker of the running service where none is set."""
    running = None if "redis_url" in settings.model_fields_set else runfile.find(places.data_dir(settings))
    return settings.model_copy(update={"redis_url": running.addresses["redis"]}) if running else settings


def _with_secret_key(settings: Settings) -> Settings:
    """The settings, with the secret key that `run` has made where none is set."""
    if settings.secret_key.get_secret_value():
        return settings  # without a look at the data folder: in a container there is none, nor can one be made
    kept = places.data_dir(settings) / places.SECRET_KEY_NAME
    if not kept.is_file():
        return settings
    return settings.model_copy(update={"secret_key": SecretStr(kept.read_text().strip())})


if __name__ == "__main__":
    main()
