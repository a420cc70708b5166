"""A database for a command that needs one: the one that is set, that of the running service, else ours, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from email_campaign.local import places, ports, postgres, runfile
from email_campaign.local.programs import Lifeline, running
from email_campaign.local.runfile import AlreadyRunning
from email_campaign.settings import Settings


@contextmanager
def database(settings: Settings, *, alone: bool = False) -> Iterator[Settings]:
    """The settings with a database that answers while the `with` lasts; `alone`: the service must not run beside.

    Where none is set and nothing runs, the embedded Postgres is started for so long. Raises AlreadyRunning and
    StartFailed.
    """
    if "database_url" in settings.model_fields_set:
        yield settings
        return
    data_dir = places.data_dir(settings)
    if found := runfile.find(data_dir):
        if alone:
            raise AlreadyRunning("The service is running: stop it first (Ctrl-C where `make run` runs).")
        yield settings.model_copy(update={"database_url": found.addresses["database"]})
        return
    with runfile.claim(data_dir, print) as lock, Lifeline([lock]) as lifeline:
        (data_dir / "logs").mkdir(exist_ok=True)
        bin_dir = postgres.find_binaries(data_dir, settings.postgres_bin_dir)
        cluster = postgres.prepare(data_dir / "postgres", port=ports.free_port(), bin_dir=bin_dir)
        with running(lifeline, cluster.program(), data_dir / "logs" / "postgres.log"):
            url = cluster.url.replace("postgresql:", "postgresql+psycopg:", 1)
            yield settings.model_copy(update={"database_url": url})
