"""What every page of the inbox is made with: templates, filters, and what stands on all of them."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from email_campaign.local.inbox.jim import JimsChair
from email_campaign.local.inbox.mail import Mail
from email_campaign.local.inbox.store import Store
from email_campaign.local.inbox.trouble import Troubles

TEMPLATES_DIR = Path(__file__).resolve().parents[3] / "templates"


class Look:
    """The parts that pages are about, and the one way to make a page. `smtp_address` is where people send to."""

    def __init__(self, store: Store, chair: JimsChair, troubles: Troubles, smtp_address: str) -> None:
        self.store = store
        self.chair = chair
        self.troubles = troubles
        self._smtp_address = smtp_address
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES_DIR), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._environment.filters["size"] = size_in_words
        self._environment.filters["number"] = lambda count: f"{count:,}"
        self._environment.filters["path"] = mail_path

    def page(self, name: str, status: int = 200, **context: Any) -> Response:
        """The page of `templates/inbox/<name>.html`."""
        template = self._environment.get_template(f"inbox/{name}.html")
        common = {"store": self.store, "smtp_address": self._smtp_address, "trouble": self._trouble_in_words()}
        return HTMLResponse(template.render(common | context), status)

    def gone(self) -> Response:
        """What was asked for is not here any more."""
        return self.page("gone", status=404)

    def _trouble_in_words(self) -> str:
        """What goes wrong on purpose; empty where nothing does."""
        rules = len(self.troubles.rules)
        words = [f"{rules} reply rule{'' if rules == 1 else 's'}"] if rules else []
        return " and ".join([*words, *(["Jim’s chances"] if self.chair.present else [])])


def size_in_words(count: int) -> str:
    """Bytes as people say them: 812 B, 6.1 kB, 1.5 MB."""
    if count < 1_000:
        return f"{count} B"
    return f"{count / 1_000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def mail_path(mail: Mail) -> str:
    """Where a mail is read. Ids hold `=` and `@`, which are lawful in a path."""
    return f"/mail/{quote(mail.id, safe='=@')}"
