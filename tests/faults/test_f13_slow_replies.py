"""F13: a final reply that comes late but in time is an accepted mail; one that does not come is unknown. (Scaled: the
final dot's 600 s are 1 s here.) Whoever waits for it holds up nobody else."""

import threading
from collections.abc import Callable

from email_campaign.clock import utc_now
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.dispatch import WINDOWS_IN_FLIGHT
from email_campaign.delivery.enrol import enrol_page
from tests.delivery.conftest import Engine
from tests.faults.tally import Tally
from tests.tools.scripted_smtp import Rule, Script

ACCEPTED, UNKNOWN = DeliveryState.ACCEPTED, DeliveryState.UNKNOWN


def test_f13_a_late_reply_counts_and_a_missing_one_is_unknown(
    make_engine: Callable[..., Engine], script: Script, tally: Tally
) -> None:
    engine = make_engine(smtp_final_dot_timeout_seconds=1.0)
    script.rules.append(Rule("dot", to=lambda address: "example0" in address, delay_seconds=0.4))
    script.rules.append(Rule("dot", to=lambda address: "example1" in address, delay_seconds=1.8))
    mailing_id = engine.launch(6, domains=2)
    assert engine.run(mailing_id) == {ACCEPTED: 3, UNKNOWN: 3}
    assert len(engine.relay.log.bodies()) == 6
    tally.made(6)


def test_f13_a_worker_that_waits_for_the_final_reply_is_not_dead(
    make_engine: Callable[..., Engine], script: Script, tally: Tally
) -> None:
    engine = make_engine(worker_beat_seconds=0.05)
    script.rules.append(Rule("dot", delay_seconds=1.0))
    mailing_id = engine.launch(1)
    engine.enrol(mailing_id)
    sending = threading.Thread(target=engine.send, args=[engine.dispatch()])
    sending.start()
    engine.relay.log.wait_for("body-complete", 1)
    while sending.is_alive():
        engine.sweep()
        sending.join(0.06)
    tally.made()
    assert [a["late"] for a in engine.attempts(mailing_id)] == [False]
    assert engine.run(mailing_id) == {ACCEPTED: 1}


def test_f13_stragglers_of_several_windows_keep_the_next_one_closed_to_nobody(
    make_engine: Callable[..., Engine], script: Script, tally: Tally
) -> None:
    engine = make_engine(enrol_first_page=1, enrol_page=1)
    script.rules.append(Rule("dot", delay_seconds=2.0))
    mailing_id = engine.launch(5)
    runs = []
    for taken in range(1, WINDOWS_IN_FLIGHT + 1):  # windows, each with one copy whose reply is long in coming
        with engine.factory.begin() as session:
            enrol_page(session, mailing_id, engine.settings, utc_now())
        runs.append(threading.Thread(target=engine.send, args=[engine.dispatch()]))
        runs[-1].start()
        tally.made()
        engine.relay.log.wait_for("body-complete", taken)
    engine.enrol(mailing_id)
    assert len(engine.dispatch()) == 5 - WINDOWS_IN_FLIGHT
    for run in runs:
        run.join()
