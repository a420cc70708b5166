"""The service as it runs: web, send workers, worker and beat as processes of their own, spoken to over the REST API."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy.orm import sessionmaker

from email_campaign.accounts.tokens import create_token
from email_campaign.accounts.users import Role, create_user
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory, make_engine
from email_campaign.local import ports
from email_campaign.local.children import children
from email_campaign.local.programs import Lifeline, Process, Program, wait_until_ready
from email_campaign.settings import Settings

PATIENCE_SECONDS = 60.0
START_SECONDS = 180.0
"""Five programs start side by side, and perhaps on a machine that does much else."""


@dataclass
class Service:
    """A running service and its API client."""

    settings: Settings
    factory: SessionFactory
    api: httpx.Client
    folder: Path
    lifeline: Lifeline
    programs: Mapping[str, Program]
    processes: dict[str, Process] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        """Start these programs side by side, and return when all of them serve."""
        for name in names:
            self.processes[name] = self.lifeline.start(self.programs[name], self._log(name))
        for name in names:
            wait_until_ready(self.programs[name], self.processes[name], self._log(name), START_SECONDS)

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Kill a program with all its children, as the kernel does when memory runs out."""
        os.killpg(self.processes[name].pid, how)
        self.processes.pop(name).wait()

    def stop(self) -> None:
        """End every program."""
        for name in list(self.processes):
            self.kill(name)
        self.api.close()

    def post(self, path: str, **body: Any) -> Any:
        """POST JSON to the API; fails on anything but 2xx."""
        answer = self.api.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def get(self, path: str, **query: Any) -> Any:
        """GET from the API."""
        answer = self.api.get(path, params=query)
        assert answer.is_success, answer.text
        return answer.json()

    def import_csv(self, list_id: int, text: str) -> Any:
        """Import a file and return the import when its task has ended."""
        files = {"file": ("people.csv", text.encode(), "text/csv")}
        answer = self.api.post("/imports", files=files, data={"list_id": str(list_id)})
        assert answer.status_code == 202, answer.text
        started = answer.json()
        return self.wait(f"/imports/{started['id']}", lambda i: i["state"] not in {"waiting", "running"})

    def upload(self, content: bytes, name: str = "tulips.jpg", alt: str = "") -> Any:
        """Upload an image and return it when it is ready, or has failed."""
        answer = self.api.post("/images", files={"file": (name, content)}, data={"alt": alt})
        assert answer.status_code == 202, answer.text
        return self.wait(f"/images/{answer.json()['id']}", lambda one: one["state"] != "processing")

    def draft(self, count: int, **fields: Any) -> int:
        """A campaign, not launched, to so many new contacts on a new list; its id."""
        unique = time.monotonic_ns()
        list_id = self.post("/lists", name=f"List {unique}")["id"]
        rows = "\n".join(f"p{number}.{unique}@d{number % 7}.example,Person {number},Bonn" for number in range(count))
        self.import_csv(list_id, f"address,name,city\n{rows}\n")
        words = {"subject": "Hello {{ name }}", "html": '<p>{{ city }} <a href="{{ unsubscribe_url }}">Bye</a></p>'}
        template_id = self.post("/templates", name=f"Template {unique}", **words)["id"]
        draft = {"from_address": "news@example.com", "template_id": template_id, "list_ids": [list_id]}
        return int(self.post("/campaigns", name=f"Campaign {unique}", **draft, **fields)["id"])

    def launch(self, count: int, **fields: Any) -> int:
        """A launched campaign to so many new contacts; its id."""
        campaign_id = self.draft(count, **fields)
        self.post(f"/campaigns/{campaign_id}/launch")
        return campaign_id

    def wait(self, path: str, until: Callable[[Any], bool], seconds: float = PATIENCE_SECONDS) -> Any:
        """Ask until the answer is as wished, and return it."""
        deadline = time.monotonic() + seconds
        while not until(answer := self.get(path)):
            assert time.monotonic() < deadline, f"{path} is still {json.dumps(answer)[:800]}"
            time.sleep(0.05)
        return answer

    def finished(self, campaign_id: int) -> dict[str, int]:
        """Wait until the campaign is finished; its counts, without zeros."""
        campaign = self.wait(f"/campaigns/{campaign_id}", lambda c: c["state"] == "finished")
        return {state: count for state, count in campaign["counts"].items() if count}

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


@contextmanager
def running_service(
    settings: Settings, lifeline: Lifeline, folder: Path, smtp: tuple[str, int], **update: Any
) -> Iterator[Service]:
    """The whole service but its inbox, on the test's Postgres and Valkey, with this relay."""
    web_port = ports.free_port()
    settings = settings.model_copy(
        update={
            "smtp_host": smtp[0],
            "smtp_port": smtp[1],
            "web_port": web_port,
            "public_url": f"http://127.0.0.1:{web_port}",
            "send_processes": 2,
            "api_rate_per_minute": 0,  # a test that waits asks twenty times a second
            **update,
        }
    )
    factory = sessionmaker(make_engine(settings), expire_on_commit=False)
    with factory.begin() as session:
        address = f"admin-{time.monotonic_ns()}@example.com"
        user = create_user(
            session, address=address, name="Ada", password="correct horse battery", role=Role.ADMIN, now=utc_now()
        )
        _, token = create_token(session, user_id=user.id, name="tests", now=utc_now())
    service = Service(
        settings,
        factory,
        httpx.Client(
            base_url=f"http://127.0.0.1:{web_port}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=20
        ),
        folder,
        lifeline,
        {program.name: _told(program, settings) for program in children(settings, folder)},
    )
    try:
        service.start(*(name for name in service.programs if name != "inbox"))
        yield service
    finally:
        service.stop()
        factory.kw["bind"].dispose()


def _told(program: Program, settings: Settings) -> Program:
    """The program with every setting of the test in its environment, the scaled waits among them."""
    told = {
        name.upper(): value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.model_dump(mode="json", exclude={"secret_key", "smtp_password"}).items()
        if value is not None
    }
    return replace(program, environment={**told, **program.environment})
