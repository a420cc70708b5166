"""How the tests take less time: which run first, which stay together, and what the garbage collector leaves alone."""

import gc
from collections import Counter
from collections.abc import Generator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

BROWSER = "tests/browser/"


class BrowserTogether(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A file goes to one worker as a whole, and so does the folder whose files share a service and a Chromium."""

    def _split_scope(self, nodeid: str) -> str:
        return BROWSER if nodeid.startswith(BROWSER) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> BrowserTogether | None:
    """What `--dist loadfile` means here."""
    if config.option.dist != "loadfile":
        return None
    config.option.loadscopereorder = False  # by the order of the tests, which is ours
    return BrowserTogether(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector what tests and imports hold: it stays, and took a tenth of the time to look at."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)  # what is deselected does not count
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that in the end no worker waits for another: the whole service, then files by tests."""
    counts = Counter(item.path for item in items)

    def order(item: pytest.Item) -> tuple[bool, int]:
        if "service" in getattr(item, "fixturenames", ()):
            return False, 0  # the files of a folder stay together
        return True, -counts[item.path]

    items.sort(key=order)
