"""The guards: what each fault test is there for, and how to take it out. `mutate` runs them.

A text is replaced that stands exactly once in its file, so that a guard that moved is an error and no green test.
"""

from collections.abc import Sequence
from dataclasses import dataclass

LEDGER, LEASES = "email_campaign/delivery/record.py", "email_campaign/delivery/leases.py"
SWEEP, LATE = "email_campaign/delivery/sweep.py", "email_campaign/delivery/late.py"
SEND, SMTP = "email_campaign/delivery/send.py", "email_campaign/delivery/smtp.py"
POOL, PROCESS = "email_campaign/delivery/pool.py", "email_campaign/delivery/process.py"
POLICY, REPLIES = "email_campaign/delivery/unknown_policy.py", "email_campaign/delivery/replies.py"
RELAY_WATCH = "email_campaign/delivery/relay_watch.py"
RELAYS, RETRY = "email_campaign/delivery/relays.py", "email_campaign/delivery/retry.py"
DISPATCH, WORKER = "email_campaign/delivery/dispatch.py", "email_campaign/worker.py"
MIME, DKIM = "email_campaign/content/mime.py", "email_campaign/content/dkim.py"
GRAMMAR, TRIAL = "email_campaign/content/grammar.py", "email_campaign/content/trial_child.py"

TWICE = r"went out [2-9] times"
STILL = r"is still|still not so|Timeout|PATIENCE_SECONDS|deadline"
"""What a test says that waits for what does not come any more."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One replacement in one file."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """A guard, the test that must miss it, and what the test must say then (a regular expression)."""

    guard: str
    test: str
    because: str
    edits: Sequence[Edit]

    @property
    def name(self) -> str:
        """The test's name without its file."""
        return self.test.rpartition("::")[2]


def _guard(guard: str, test: str, because: str, *edits: tuple[str, str, str]) -> Mutation:
    return Mutation(guard, f"tests/faults/test_{test}", because, [Edit(*edit) for edit in edits])


MUTATIONS = [
    _guard(
        "only bodies under way become unknown",
        "f01_kill_before_intent.py::test_f01_workers_killed_before_the_intent_leave_nothing_unknown",
        r"assert \{.*unknown",
        (LEASES, "WHERE IN_SPAN AND d.state = 'sending'\n", "WHERE IN_SPAN AND d.state IN ('pending', 'sending')\n"),
    ),
    _guard(
        "the policy is asked before an unknown copy is sent again",
        "f02_kill_after_the_250.py::test_f02_what_was_on_the_wire_is_unknown_and_stays_so",
        TWICE + r"|KeyError: 'unknown'",
        (POLICY, "if mailing.unknown_policy is UnknownPolicy.HOLD or", "if"),
        (DISPATCH, "AND m.unknown_policy = 'resend' AND", "AND"),
    ),
    _guard(
        "the Message-ID is the delivery's and not the attempt's",
        "f02_kill_after_the_250.py::test_f02_with_the_policy_resend_it_goes_out_exactly_once_more",
        r"was never on the wire",
        ("email_campaign/delivery/compose.py", "f'{mailing_id}-{position}')", "f'{mailing_id}-{position}-{object()}')"),
    ),
    _guard(
        "a worker that was stopped asks whether it may still start a body",
        "f03_stopped_within.py::test_f03_a_body_that_was_held_back_after_its_intent_is_not_left_unknown",
        r"assert \[",
        (SEND, "if not connection.is_open or not self._desk.may_start_body():", "if not connection.is_open:"),
    ),
    _guard(
        "an INTENT is fenced by the token in its slice",
        "f03_stopped_within.py::test_f03_an_intent_under_a_token_that_was_taken_back_is_refused",
        r"assert .*go",
        (
            LEDGER,
            "LEFT JOIN slices s ON s.id = i.slice_id AND s.token = i.token",
            "LEFT JOIN slices s ON s.id = i.slice_id",
        ),
    ),
    _guard(
        "a late 250 resolves an unknown copy",
        "f03_stopped_worker.py::test_f03_what_a_stopped_worker_learns_late_counts",
        STILL,
        (LATE, "result.state == DeliveryState.ACCEPTED or", "False and"),
    ),
    _guard(
        "a reply that waits in the socket is read before the timeout counts",
        "f03_stopped_within.py::test_f03_a_reply_that_came_while_the_process_was_stopped_beats_the_timeout",
        r"UNKNOWN",
        (
            SMTP,
            "self._loop.call_later(LAST_LOOK_SECONDS, self._give_up, self._steps[0])",
            "self._give_up(self._steps[0])",
        ),
    ),
    _guard(
        "what was on the wire of a dead worker is unknown and not sent again",
        "f04_chaos.py",
        TWICE,
        (POLICY, "if mailing.unknown_policy is UnknownPolicy.HOLD or", "if"),
        (DISPATCH, "AND m.unknown_policy = 'resend' AND", "AND"),
    ),
    _guard(
        "the sweep deals out what nobody was nudged for",
        "f05_flushall.py",
        STILL,
        (WORKER, "        nudge(HOP, task_id)\n    dispatch()\n", "        nudge(HOP, task_id)\n"),
    ),
    _guard(
        "a nudge never raises",
        "f06_broker_down.py",
        r"50\d",
        (
            "email_campaign/queue.py",
            'log.warning("the broker did not take %s%s, the sweep will: %s", name, ids, type(error).__name__)',
            "raise error",
        ),
    ),
    _guard(
        "what was published and not taken is published again",
        "f07_message_cut.py",
        STILL,
        (
            SWEEP,
            "worker_id IS NULL AND published_at < :before",
            "worker_id IS NULL AND published_at < :before AND false",
        ),
    ),
    _guard(
        "the sweep finishes what no chord's end came for",
        "f08_lost_chords.py",
        STILL,
        (SWEEP, "            finish_if_done(session, mailing_id, now)\n", ""),
        (WORKER, "        dispatching.finish_if_done(session, mailing_id, utc_now())\n", "        pass\n"),
    ),
    _guard(
        "a slice has one lease at a time, and its token fences the others",
        "f09_every_message_thrice.py",
        TWICE + "|" + STILL,
        (LEASES, "s.closed_at IS NULL AND s.worker_id IS NULL AND (s.due_at", "s.closed_at IS NULL AND (s.due_at"),
        (
            LEDGER,
            "LEFT JOIN slices s ON s.id = i.slice_id AND s.token = i.token",
            "LEFT JOIN slices s ON s.id = i.slice_id",
        ),
    ),
    _guard(
        "an INTENT waits until Postgres is back",
        "f10_postgres_restart.py::test_f10_nothing_is_lost_or_falsely_accepted_when_postgres_restarts",
        TWICE + r"|assert .*(cancelled|skipped|sending|pending)|" + STILL,
        (
            LEDGER,
            "                time.sleep(wait)\n                wait = min(wait * 2, longest)",
            '                return ["go" for _ in batch]',
        ),
    ),
    _guard(
        "an attempt that was committed is not written again",
        "f11_commit_cut.py::test_f11_a_commit_that_is_cut_again_and_again_doubles_and_loses_nobody",
        r"assert \[",
        (LATE, "if was is None or _only(connection.execute(_KNOWN, row)) is not None:", "if was is None:"),
    ),
    _guard(
        "a row that is `sending` under its own token may go",
        "f11_commit_cut.py::test_f11_a_commit_that_is_cut_again_and_again_doubles_and_loses_nobody",
        r"assert|" + STILL,
        (LEDGER, "CASE WHEN g.open AND g.state = 'sending' THEN 'sending' ELSE 'not now' END", "'not now'"),
    ),
    _guard(
        "an INTENT that was refused is withdrawn",
        "f11_commit_cut.py::test_f11_an_intent_whose_answer_was_cut_before_a_pause_leaves_no_row_in_flight",
        r"assert|" + STILL,
        (SEND, "await recorder.record(withdraw(trial, utc_now(), intended=False))", "pass"),
    ),
    _guard(
        "a drop within the body is unknown",
        "f12_drops.py::test_f12_a_drop_within_the_body_is_unknown_too",
        r"assert",
        (REPLIES, "if phase in {Phase.BODY, Phase.SWEEP, Phase.HAND}:", "if phase in {Phase.SWEEP, Phase.HAND}:"),
    ),
    _guard(
        "the policy resends once",
        "f12_drops.py::test_f12_a_relay_that_always_hangs_up_gets_a_copy_once_more_and_no_oftener",
        r"assert|" + STILL,
        (
            POLICY,
            "AND a.verdict = 'unknown' AND NOT a.late OFFSET 1)",
            "AND a.verdict = 'unknown' AND NOT a.late OFFSET 9)",
        ),
    ),
    _guard(
        "windows that only wait for a reply are not counted",
        "f13_slow_replies.py::test_f13_stragglers_of_several_windows_keep_the_next_one_closed_to_nobody",
        r"assert 0 == ",
        (
            DISPATCH,
            "count(DISTINCT w.id) FILTER (WHERE s.worker_id IS NULL) AS windows",
            "count(DISTINCT w.id) AS windows",
        ),
    ),
    _guard(
        "the timeout of the final dot ends a wait",
        "f13_slow_replies.py::test_f13_a_late_reply_counts_and_a_missing_one_is_unknown",
        r"ACCEPTED",
        (SMTP, "+ end, [_DOT], self._timeouts.final_dot)", "+ end, [_DOT], 60.0)"),
    ),
    _guard(
        "a connection on which a mail was broken off is not used again",
        "f14_cancelled_send.py::test_f14_a_cancelled_mail_ends_its_connection",
        r"assert|Timeout",
        (POOL, "if not connection.is_between_mails:", "if False:"),
        (SMTP, 'self.abort("cancelled")', "pass"),
    ),
    _guard(
        "a reply that nobody asked for ends the connection",
        "f14_cancelled_send.py::test_f14_a_reply_that_nobody_asked_for_ends_its_connection",
        r"assert|Timeout",
        (SMTP, 'self.abort(f"the relay said {reply.code} {reply.text} unasked")', "pass"),
    ),
    _guard(
        "farewells are said side by side",
        "f15_hangs_after_a_refusal.py::test_f15_a_relay_that_hangs_at_quit_does_not_stop_the_beat",
        r"assert",
        (
            POOL,
            "await asyncio.gather(*(self._retire(connection) for connection in worn))",
            "for connection in worn:\n            await self._retire(connection)",
        ),
    ),
    _guard(
        "the first delay is never shortened",
        "f16_greylisting.py",
        r"assert",
        (RETRY, "        jitter = abs(jitter)\n    return", "        pass\n    return"),
    ),
    _guard(
        "a 421 before the body burns no attempt",
        "f17_storm_of_421.py::test_f17_a_storm_of_421_rejects_nobody",
        r"assert",
        (REPLIES, "return replace(_CLOSED, spared=phase is not Phase.BODY)", "return replace(_CLOSED, spared=False)"),
    ),
    _guard(
        "a relay that says too much gets less",
        "f17_storm_of_421.py::test_f17_the_rate_falls_in_a_storm_and_recovers",
        r"assert",
        (RELAY_WATCH, "if await asyncio.to_thread(self._note_complaint, complaint):", "if False:"),
    ),
    _guard(
        "failures at the same time are one failure",
        "f18_relay_outage.py::test_f18_an_outage_consumes_no_attempt_and_brings_no_storm",
        r"assert",
        (RELAYS, "if relay.retry_at is None or relay.retry_at <= now:", "if True:"),
    ),
    _guard(
        "the beat sees a failure that another process met",
        "f18_relay_outage.py::test_f18_the_failure_of_a_process_that_died_is_forgotten_by_the_others",
        STILL,
        (RELAY_WATCH, "self._is_failing = True  # another process met it", "pass  # another process met it"),
    ),
    _guard(
        "slices that wait for the relay are let go when it works",
        "f18_relay_outage.py::test_f18_slices_that_waited_for_the_relay_go_on_when_it_works_again",
        r"assert|" + STILL,
        (RELAY_WATCH, 'holds.release(session, "relay")', "pass"),
    ),
    _guard(
        "whatever one contact's message breaks on rejects that contact alone",
        "f19_poisonous_recipient.py::test_f19_an_address_that_no_header_can_carry_is_rejected_alone",
        r"assert|BadHeader|" + STILL,
        (
            SEND,
            "        except Exception as error:\n            # Not only",
            "        except RenderError as error:\n            # Not only",
        ),
    ),
    _guard(
        "a reply is made storable",
        "f19_poisonous_recipient.py::test_f19_a_reply_with_nul_and_bad_utf8_is_stored_readably",
        r"assert",
        (REPLIES, 'else _CONTROLS.sub("\\ufffd", words.replace("\\t", " "))', "else words"),
    ),
    _guard(
        "a launch holds the mailing's lock",
        "f20_launches_at_once.py",
        r"assert \[202, 202",
        (
            "email_campaign/campaigns/mailings.py",
            ".where(Mailing.id == mailing_id).with_for_update()",
            ".where(Mailing.id == mailing_id)",
        ),
    ),
    _guard(
        "a pause waits for the INTENT that is being committed",
        "f21_pause_and_cancel.py::test_f21_a_pause_waits_for_the_intent_that_is_being_committed",
        r"is_alive|assert False",
        (LEDGER, '"SELECT pg_advisory_xact_lock_shared($1::int, m::int)', '"SELECT $1::int, (m::int)'),
    ),
    _guard(
        "an INTENT reads the mailing's state",
        "f21_pause_and_cancel.py::test_f21_no_body_begins_after_a_pause_that_was_not_intended_before[150]",
        r"assert",
        (LEDGER, "m.state = 'sending' AND s.id IS NOT NULL", "s.id IS NOT NULL"),
    ),
    _guard(
        "a slice with an open row is not closed",
        "f21_pause_and_cancel.py::test_f21_a_copy_that_comes_back_while_its_campaign_is_cancelled_is_cancelled_too",
        r"assert|" + STILL,
        (LEASES, ") END IS NULL\n", ") END IS NULL OR s.mailing_id = :mailing\n"),
    ),
    _guard(
        "what the broker has forgotten is counted from the attempts",
        "f22_limits.py::test_f22_a_lost_broker_grants_no_second_hour[campaign]",
        r"assert",
        (PROCESS, "return spent_in_window(session, limit, with_grants_in_hand=is_lost)", "return []"),
    ),
    _guard(
        "the campaign's own limits hold beside the relay's",
        "f22_limits.py::test_f22_limits_of_relay_and_campaign_hold_on_the_wire",
        r"assert",
        (
            "email_campaign/delivery/orders.py",
            "(*of_relay, *([slowed] if slowed else []), *of_mailing)",
            "(*of_relay, *([slowed] if slowed else []))",
        ),
    ),
    _guard(
        "only the lease that was seen is taken back",
        "f23_one_dead_among_many.py::test_f23_a_slice_that_went_on_to_a_live_worker_is_not_taken_back_from_it",
        r"assert",
        (
            LEASES,
            "WHERE id = :slice AND token = :token AND worker_id IS NOT NULL AND closed_at IS NULL",
            "WHERE id = :slice",
        ),
    ),
    _guard(
        "a worker that is told to stop ends its bodies first",
        "f24_rolling_restart.py",
        r"unknown|assert",
        (WORKER, "        send_process().stop_soon()\n", "        import os\n\n        os._exit(0)\n"),
    ),
    _guard(
        "a worker that is told to stop in an upgrade ends its bodies first",
        "f30_upgrade.py::test_f30_an_upgrade_under_load_leaves_nothing_unknown",
        r"unknown|assert",
        (WORKER, "        send_process().stop_soon()\n", "        import os\n\n        os._exit(0)\n"),
    ),
    _guard(
        "no line break gets into a header",
        "f25_bytes.py",
        r"BadHeader|assert",
        (MIME, 'else _CONTROLS.sub(" ", value)).strip()', "else value)"),
    ),
    _guard(
        "a List-Id has no encoded-word",
        "f25_bytes.py::test_f25_what_programs_read_has_no_encoded_word_and_is_whole",
        r"=\?utf-8",
        (
            MIME,
            'return f"<{list_id}>" if not name or _needs_encoding(name) else',
            'return f"{_encode(name)} <{list_id}>" if name else',
        ),
    ),
    _guard(
        "all that is written is signed as it goes out",
        "f25_bytes.py::test_f25_the_signature_verifies_for_any_words",
        r"assert",
        (
            DKIM,
            '    body = re.sub(rb"[ \\t]+", b" ", body).replace(b" \\r\\n", b"\\r\\n")\n',
            "",
        ),
    ),
    _guard(
        "no name in a template begins with an underscore",
        "f26_hostile_templates.py::test_f26_a_hostile_template_is_refused_when_saved_and_costs_little",
        r"assert set\(\) == ",
        (
            GRAMMAR,
            'case nodes.Getattr(attr=name) | nodes.Getitem(arg=nodes.Const(value=str(name))) if name.startswith("_"):',
            'case nodes.Getattr(attr=name) | nodes.Getitem(arg=nodes.Const(value=str(name))) if name == "_":',
        ),
    ),
    _guard(
        "a trial has a second of processor time",
        "f26_hostile_templates.py::test_f26_what_the_grammar_would_let_through_meets_the_limits",
        r"assert",
        (TRIAL, "signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)", "pass"),
    ),
    _guard(
        "a trial has 256 MB",
        "f26_hostile_templates.py::test_f26_what_the_grammar_would_let_through_meets_the_limits",
        r"assert",
        (TRIAL, "resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))", "pass"),
    ),
    _guard(
        "a row that is due again is counted out of its old state",
        "f27_ledger_model.py::test_f27_the_ledger_equals_its_model_in_any_order_of_events",
        r"assert|AssertionError",
        ("email_campaign/delivery/slicing.py", "changes[row.state] = changes.get(row.state, 0) - 1", "pass"),
    ),
    _guard(
        "a range slice carries no row that has left it for another",
        "f27_ledger_model.py::test_f27_the_ledger_equals_its_model_in_any_order_of_events",
        r"assert|AssertionError",
        (LEASES, 'BETWEEN :first AND :last AND d.slice_id IS NULL"', 'BETWEEN :first AND :last"'),
    ),
    _guard(
        "a late refusal speaks of its own body only",
        "f27_ledger_model.py::test_f27_the_ledger_equals_its_model_in_any_order_of_events[120-50]",
        r"assert|AssertionError",
        (LATE, "result.was != DeliveryState.SENDING or result.state", "result.state"),
        (LATE, "HAVING count(*) = 1 AND min(phase) = 'sweep'", "HAVING count(*) >= 0"),
    ),
    _guard(
        "whoever asks the API shows a token, whatever the route itself asks for",
        "f28_openapi.py::test_f28_without_a_good_token_there_is_nothing_but_401",
        r"diff: [0-9]+ != 401",
        ("email_campaign/web/app.py", 'prefix="/api/v1", dependencies=[Depends(api_user)])', 'prefix="/api/v1")'),
    ),
    _guard(
        "every failure is described",
        "f28_openapi.py::test_f28_every_answer_is_as_described",
        r"Undocumented status code",
        ("email_campaign/web/openapi.py", "for status in _problems_of(operation)", "for status in ()"),
    ),
    _guard(
        "a slice is read by its positions over the primary key",
        "f29_old_snapshot.py::test_f29_neither_a_large_ledger_nor_an_old_snapshot_makes_work_dearer",
        r"assert",
        (
            LEASES,
            '"d.mailing_id = :mailing AND d.position BETWEEN',
            '"d.mailing_id = :mailing AND d.position + 0 BETWEEN',
        ),
    ),
    _guard(
        "a mailing is large whatever the statistics say",
        "f29_old_snapshot.py::test_f29_a_mailing_that_is_younger_than_the_statistics_is_no_dearer",
        r"assert",
        (
            "migrations/versions/2026_11_28_a_new_mailing_is_large.py",
            "mailing_id SET STATISTICS 0",
            "mailing_id SET STATISTICS -1",
        ),
    ),
]
