"""F7: the connection is cut while the broker hands over a message: it is lost, and its slice is dispatched anew."""

from collections.abc import Iterator

import pytest

from email_campaign.settings import Settings
from tests.faults.conftest import Scene
from tests.faults.waiting import target_of, through, wait_until
from tests.tools.proxy import Proxy, running_proxy
from tests.tools.scripted_smtp import Rule

pytestmark = pytest.mark.faults

CUTS = 5


@pytest.fixture(scope="module")
def proxy(settings: Settings) -> Iterator[Proxy]:
    """Between the whole service and its broker."""
    with running_proxy(target_of(settings.redis_url)) as running:
        yield running


@pytest.fixture(scope="module")
def service_settings(settings: Settings, proxy: Proxy) -> Settings:
    return settings.model_copy(update={"redis_url": through(settings.redis_url, proxy)})


def test_f07_a_message_lost_on_its_way_is_dispatched_again(scene: Scene, proxy: Proxy) -> None:
    scene.sink.script.rules.append(Rule("dot", delay_seconds=0.05))
    campaign_id = scene.service.draft(300)
    proxy.cut_when(b'"task": "email_campaign.send"', direction="down", times=CUTS)
    scene.service.post(f"/campaigns/{campaign_id}/launch")
    assert scene.settled(campaign_id) == {"accepted": 300}
    wait_until(lambda: proxy.cut_count == CUTS)
    scene.tally.made(proxy.cut_count)
