"""F9: every Celery message is published three times: one mail each."""

import pytest

from email_campaign.queue import CONTROL_QUEUE, SEND_QUEUES, WORK_QUEUE
from tests.faults.conftest import Scene
from tests.tools.repeater import repeating
from tests.tools.scripted_smtp import Rule

pytestmark = pytest.mark.faults

COUNT = 300


def test_f09_every_message_three_times_is_one_mail_each(scene: Scene) -> None:
    scene.sink.script.rules.append(Rule("dot", delay_seconds=0.02))
    campaign_id = scene.service.draft(COUNT)
    with repeating(scene.service.settings.redis_url, {*SEND_QUEUES, CONTROL_QUEUE, WORK_QUEUE}, times=2) as repeater:
        scene.service.post(f"/campaigns/{campaign_id}/launch")
        assert scene.settled(campaign_id) == {"accepted": COUNT}
    scene.tally.made(repeater.count)
    assert repeater.count >= 2 * COUNT  # a task a mail, and those that launch, deal out and sweep
    assert scene.bodies(campaign_id) == COUNT
