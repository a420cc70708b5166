"""`make run`: everything up, watched, and down again."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.orm import sessionmaker

from email_campaign.clock import utc_now
from email_campaign.db import make_engine
from email_campaign.local import places, plan, reachable, runfile
from email_campaign.local.administrator import NewAdministrator, ensure_administrator
from email_campaign.local.children import children
from email_campaign.local.demo import beside
from email_campaign.local.demo.beside import Beside
from email_campaign.local.migrate import migrate
from email_campaign.local.plan import Plan
from email_campaign.local.programs import Lifeline
from email_campaign.local.supervisor import Supervisor
from email_campaign.local.terminal import Terminal
from email_campaign.settings import Settings


def run(settings: Settings) -> int:
    """Run the service until a signal ends it. The exit code: 1 where a crash demo failed, else 0.

    Raises AlreadyRunning, PortsUnavailable and StartFailed; then nothing is left running.
    """
    began = time.monotonic()
    data_dir = places.data_dir(settings)
    terminal = Terminal(sys.stdout)
    say = terminal.say
    with runfile.claim(data_dir, say) as lock:
        planned = plan.make(settings, data_dir)
        demo = Beside(planned.settings, terminal)
        for line in planned.moved:
            say(line)
        with Lifeline([lock]) as lifeline:
            supervisor = Supervisor(lifeline, data_dir / "logs", say)
            supervisor.listen_to_signals()
            try:
                administrator = _come_up(supervisor, planned, data_dir)
                publish = _publisher(supervisor, planned)
                publish()
                _tell(say, planned, administrator, time.monotonic() - began)
                with beside.playing(demo, lambda: supervisor.pids):
                    supervisor.watch(publish)
            except KeyboardInterrupt:
                say("\nStopping; what is in hand is finished or given back.")
            finally:
                supervisor.stop()
    say("Stopped. The data stay.")
    return int(demo.crash_has_failed)


def _come_up(supervisor: Supervisor, planned: Plan, data_dir: Path) -> NewAdministrator | None:
    supervisor.start(planned.services)
    reachable.check_database(planned.settings)
    reachable.check_redis(planned.settings)
    migrate(planned.settings)
    engine = make_engine(planned.settings, pool_size=1)
    administrator = ensure_administrator(sessionmaker(engine), planned.settings.admin_address, utc_now())
    engine.dispose()
    supervisor.start(children(planned.settings, data_dir))
    return administrator


def _publisher(supervisor: Supervisor, planned: Plan) -> Callable[[], None]:
    """A function that writes down what runs now."""
    started_at = utc_now().isoformat()
    data_dir = planned.data_dir

    def publish() -> None:
        run = runfile.Run(
            version=places.VERSION,
            pid=os.getpid(),
            started_at=started_at,
            data_dir=str(data_dir),
            addresses=plan.addresses(planned.settings),
            ports=planned.ports,
            pids=supervisor.pids,
        )
        runfile.publish(data_dir, run)

    return publish


def _tell(say: Callable[[str], None], planned: Plan, administrator: NewAdministrator | None, seconds: float) -> None:
    where = plan.addresses(planned.settings)
    lines = [
        "",
        f"email-campaign {places.VERSION} is ready ({seconds:.1f} s).",
        f"  Pages   {where['pages']}",
        f"  Inbox   {where['inbox']}   SMTP {where['smtp']}",
        f"  Relay   {where['relay']}" + (" (our inbox: nothing leaves this machine)" if planned.relay_is_inbox else ""),
        f"  Data    {planned.data_dir}   logs in {planned.data_dir / 'logs'}",
    ]
    if administrator:
        lines += [
            f"  Sign in as {administrator.address} with the password {administrator.password}",
            "  It is shown this once; `email-campaign create-admin` makes another administrator.",
        ]
    say("\n".join([*lines, "Ctrl-C stops everything; the data stay.", ""]))
