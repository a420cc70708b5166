"""F9: every Celery message is published three times: one mail each."""

import pytest
from sqlalchemy import text

from email_campaign.queue import DISPATCH, LAUNCH, SEND, SWEEP, WINDOW_DONE, make_app
from tests.faults.conftest import Scene
from tests.tools.scripted_smtp import Rule

pytestmark = pytest.mark.faults


def test_f09_every_message_three_times_is_one_mail_each(scene: Scene) -> None:
    scene.sink.script.rules.append(Rule("dot", delay_seconds=0.02))
    campaign_id = scene.service.launch(300)
    seen: set[tuple[int, int]] = set()
    with make_app(scene.service.settings) as app:
        for _ in range(2):
            app.send_task(LAUNCH, args=[campaign_id], ignore_result=True)
        while scene.service.get(f"/campaigns/{campaign_id}")["state"] != "finished":
            with scene.service.factory() as session:
                found = {(row.id, row.window_id) for row in session.execute(text("SELECT id, window_id FROM slices"))}
            for slice_id, window_id in found - seen:
                for _ in range(2):
                    app.send_task(SEND, args=[slice_id], ignore_result=True)
                    if window_id and slice_id % 50 == 0:
                        app.send_task(WINDOW_DONE, args=[None, window_id, campaign_id], ignore_result=True)
            for name in (DISPATCH, SWEEP):
                app.send_task(name, ignore_result=True)
            seen |= found
    assert scene.settled(campaign_id) == {"accepted": 300}
    assert scene.bodies(campaign_id) == 300
