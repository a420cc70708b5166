"""F20: fifty launches at once and two Beats: one enrolment, one mail each."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from email_campaign.clock import utc_now
from tests.faults.conftest import Scene

pytestmark = pytest.mark.faults


def test_f20_fifty_launches_and_two_beats_mail_everybody_once(scene: Scene) -> None:
    service = scene.service
    beat = service.programs["beat"]
    schedule = beat.argv[beat.argv.index("--schedule") + 1]
    argv = tuple(f"{part}-2" if part == schedule else part for part in beat.argv)
    service.processes["beat2"] = service.lifeline.start(
        replace(beat, name="beat2", argv=argv), service.folder / "beat2.log"
    )
    campaign_id, due_id = service.draft(100), service.draft(50)
    service.post(f"/campaigns/{due_id}/schedule", scheduled_at=(utc_now() + timedelta(seconds=1)).isoformat())
    with ThreadPoolExecutor(16) as threads:
        codes = list(threads.map(lambda _: service.api.post(f"/campaigns/{campaign_id}/launch").status_code, range(50)))
    scene.tally.made(codes.count(409))
    assert sorted(codes) == [202] + [409] * 49
    assert scene.settled(campaign_id) == {"accepted": 100}
    assert scene.settled(due_id) == {"accepted": 50}
    with service.factory() as session:
        query = text("SELECT count(*) FROM mailing_events WHERE kind = 'enrolled' AND mailing_id = :m")
        assert [session.scalar(query, {"m": m}) for m in (campaign_id, due_id)] == [1, 1]
    scene.kill("beat2")
