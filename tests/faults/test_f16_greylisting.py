"""F16: greylisting: accepted on attempt 2, with the spacing kept."""

from collections.abc import Callable
from datetime import datetime

from email_campaign.delivery.deliveries import DeliveryState
from tests.delivery.conftest import STEPS_TOO, Engine
from tests.tools.scripted_smtp import Rule, Script

pytestmark = STEPS_TOO


def test_f16_a_greylisted_copy_is_accepted_on_its_second_attempt_and_not_too_soon(
    make_engine: Callable[..., Engine], script: Script
) -> None:
    engine_room = make_engine(retry_delays_seconds=(1.5, 3.0))
    script.rules.append(Rule("rcpt", reply=b"450 4.7.1 greylisted, come back later", first=1))
    mailing_id = engine_room.launch(12)
    assert engine_room.run(mailing_id) == {DeliveryState.ACCEPTED: 12}
    times: dict[object, list[datetime]] = {}
    for attempt in engine_room.attempts(mailing_id):
        began, ended = attempt["started_at"], attempt["finished_at"]
        assert isinstance(began, datetime)
        assert isinstance(ended, datetime)
        times.setdefault(attempt["position"], []).extend([began, ended])
    least = engine_room.settings.retry_delays_seconds[0]
    assert len(times) == 12
    assert all((second - refused).total_seconds() >= least for _, refused, second, _ in times.values())
