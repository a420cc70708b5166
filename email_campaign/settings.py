"""Every setting of the service: read once from the environment (and `.env`), typed and checked."""

import re
import sys
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, ValidatorFunctionWrapHandler, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_URL = r"^(https?://[^\s/]+.*)?$"


class Settings(BaseSettings):
    """One field a setting; the environment name is the field's name in capitals."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    # Where things are
    database_url: str = "postgresql+psycopg://email_campaign@127.0.0.1:5432/email_campaign"
    redis_url: str = "redis://127.0.0.1:6379/0"
    secret_key: SecretStr = Field(SecretStr(""), description="signs cookies, links and Message-IDs; never change it")
    web_host: str = "127.0.0.1"
    web_port: int = 8000
    public_url: str = Field("http://127.0.0.1:8000", description="how recipients reach this service; stands in mails")
    mail_from: str = Field("campaigns@example.com", description="sender of system mail, and the form's default")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"
    metrics_token: SecretStr = Field(SecretStr(""), description="opens /metrics; there are none without it")
    otel_exporter_otlp_endpoint: str = Field(
        "", description="where traces go, over OTLP/HTTP; none are made when empty"
    )

    # The relay that mail is handed to
    smtp_host: str = "127.0.0.1"
    smtp_port: int = 1025
    smtp_security: Literal["none", "starttls", "tls"] = "none"
    smtp_username: str = ""
    smtp_password: SecretStr = SecretStr("")
    smtp_helo_name: str = Field("", description="name said in EHLO; the machine's own when empty")
    smtp_connect_timeout_seconds: float = 30.0
    smtp_command_timeout_seconds: float = 300.0
    smtp_final_dot_timeout_seconds: float = Field(600.0, description="RFC 5321 4.5.3.2.6")
    smtp_idle_seconds: float = Field(20.0, description="an unused connection is closed after this")
    smtp_connection_messages: int = Field(500, description="a connection is renewed after this many mails")
    smtp_connection_seconds: float = Field(300.0, description="a connection is renewed after this time")
    dkim_dir: Path | None = Field(None, description="folder with DKIM keys; make one with email-campaign dkim-key")

    # Sending
    send_connections: int = Field(32, ge=1, le=512, description="open SMTP connections per send process, at most")
    worker_beat_seconds: float = 5.0
    worker_dead_looks: int = Field(6, description="looks of the sweep without a new beat until a worker is dead")
    sweep_seconds: float = 5.0
    window_deadline_seconds: float = 120.0
    slice_seconds: float = Field(
        1.5, gt=0, le=1.5, description="how much work a slice carries at the present throughput"
    )
    attachments_max_bytes: int = Field(
        7_000_000, ge=1, le=18_000_000, description="files of a mail; as base64 Postfix's 10 MB by default hold them"
    )
    retry_delays_seconds: tuple[float, ...] = (300.0, 900.0, 3600.0, 10800.0)
    retry_limit_seconds: float = Field(72 * 3600.0, description="from the first attempt; then rejected: expired")
    relay_retry_seconds: tuple[float, float] = Field(
        (5.0, 300.0), description="first and longest wait for a dead relay"
    )
    relay_slow_seconds: tuple[float, float] = Field(
        (5.0, 600.0), description="between two cuts of the rate when the relay says too much; until it is back"
    )
    enrol_first_page: int = Field(2_000, ge=1, le=50_000)
    enrol_page: int = Field(50_000, ge=1, le=200_000, description="longer pages would hold a pause up")
    attempts_kept_days: int = Field(365, ge=0, description="after that the attempts of a settled mailing go; 0: never")

    # Long work in hops
    task_hop_seconds: float = Field(5.0, description="a worker lets go of a long task after this and takes it again")
    task_lease_seconds: float = 60.0
    task_nudge_seconds: float = Field(15.0, description="a task that nobody works on is nudged again after this")
    import_max_bytes: int = 200 * 1024 * 1024
    import_max_cell_characters: int = 10_000

    # Images
    image_max_bytes: int = Field(10 * 1024 * 1024, ge=1, description="largest picture that is taken")
    image_max_pixels: int = Field(50_000_000, ge=1, description="so many pixels, unpacked, a picture may have")
    image_widths: tuple[int, ...] = Field(
        (320, 600, 1200), min_length=1, description="widths that a picture is made in, none larger than it is"
    )
    media_dir: Path | None = Field(None, description="where images are stored; media in the data folder when unset")
    media_base_url: str = Field(
        "", pattern=_URL, description="where mails find images, such as a CDN; this service when empty"
    )
    s3_bucket: str = Field("", description="images are stored in this bucket instead of a folder")
    s3_endpoint_url: str = Field("", pattern=_URL, description="of an S3 that is not Amazon's")
    s3_region: str = ""
    s3_prefix: str = Field("", description="stands before the names of all that is stored there")
    s3_access_key_id: SecretStr = Field(SecretStr(""), description="as boto3 finds it itself when empty")
    s3_secret_access_key: SecretStr = SecretStr("")

    # Backups
    backup_dir: Path | None = Field(None, description="where the daily backup goes; none is made when unset")
    backup_keep_days: int = Field(14, ge=0, description="daily backups that are older go; 0: none goes")

    # Flower
    flower_basic_auth: SecretStr = Field(SecretStr(""), description="user:password for its pages")

    # Sign-in
    session_days: int = 14
    sign_in_attempts: int = Field(10, description="failed sign-ins per address and per client in 15 minutes")
    cookie_secure: bool = Field(False, description="true where the pages are served over https")

    # Requests
    allowed_hosts: tuple[str, ...] = Field((), description="host names beside the one of public_url, as a JSON list")
    request_max_bytes: int = Field(8 * 1024 * 1024, description="largest request body, imports apart")
    api_rate_per_minute: int = Field(600, ge=0, description="requests of an API token in a minute; 0: no limit")

    # The inbox of `make run`
    inbox_host: str = "127.0.0.1"
    inbox_smtp_port: int = 1025
    inbox_http_port: int = 8025
    inbox_keep: int = Field(10_000, ge=1, description="mails kept; the oldest make room")
    inbox_max_bytes: int = Field(512 * 1024 * 1024, description="bytes kept; the oldest make room")
    inbox_cors_origin: str = Field(
        "", pattern=r"^(\*|https?://[^\s/]+)?$", description="whose pages may use the inbox's API; `*`: everybody's"
    )

    # Embedded parts of `make run`
    admin_address: str = Field("admin@example.com", description="the administrator that the first `run` creates")
    data_dir: Path | None = Field(None, description="where embedded data live; chosen by `run` when unset")
    postgres_bin_dir: Path | None = Field(None, description="look for postgres and initdb here first")
    send_processes: int = Field(0, description="0: one per core")
    demo: bool | Literal["crash"] = Field(
        True, description="whether the first `run` plays the demo; `crash`: kill parts of it in mid-send, at any run"
    )

    @field_validator("database_url")
    @classmethod
    def _use_psycopg(cls, url: str) -> str:
        """Accept the URL spellings that people paste, and pin the driver."""
        scheme, separator, rest = url.partition("://")
        if not separator or scheme.split("+")[0] not in {"postgres", "postgresql"}:
            msg = "must look like postgresql://user:password@host:5432/name"
            raise ValueError(msg)
        return f"postgresql+psycopg://{rest}"

    @field_validator("demo", mode="wrap")
    @classmethod
    def _name_the_choices(cls, value: object, read: ValidatorFunctionWrapHandler) -> object:
        try:
            return read(value)
        except ValidationError:
            msg = "must be true, false or crash"
            raise ValueError(msg) from None

    @field_validator("image_widths")
    @classmethod
    def _ascending(cls, widths: tuple[int, ...]) -> tuple[int, ...]:
        if min(widths) < 1:
            msg = "must be whole numbers above 0"
            raise ValueError(msg)
        return tuple(sorted(set(widths)))

    @field_validator("public_url", "media_base_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        return url.rstrip("/")


@cache
def get_settings() -> Settings:
    """The settings of this process. Tests that need others build their own `Settings`.

    Ends the process with a sentence for each setting that cannot be used: nothing could run without them.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, problem['loc'])).upper()}={_without_password(problem['input'])}: {problem['msg']}"
            for problem in error.errors(include_url=False)
        ]
        sys.exit("\n".join(["These settings cannot be used (environment, or .env):", *lines]))


def _without_password(value: object) -> str:
    """Of a URL: what is said here stands in logs."""
    return re.sub("(?<=://).*@", "…@", str(value))
