"""Replies: parsed from any bytes, judged by phase, code and enhanced code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_campaign.delivery.replies import Blame, Outcome, Phase, Reply, Verdict, judge, judge_drop, parse_reply

WIRE = [Phase.CONNECT, Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.BODY]
BEFORE_BODY = WIRE[:-1]


def verdict(phase: Phase, line: str) -> Verdict:
    return judge(phase, parse_reply([line.encode()]))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"250 2.1.5 Ok\r\n"], Reply(250, "2.1.5", "Ok")),
        ([b"250"], Reply(250, None, "")),
        ([b"550-5.1.1 No such\r\n", b"550 5.1.1 mailbox here\r\n"], Reply(550, "5.1.1", "No such mailbox here")),
        ([b"550-No such", b"550 5.1.1 mailbox"], Reply(550, "5.1.1", "No such mailbox")),
        ([b"550 5.1.1: gone"], Reply(550, "5.1.1", ": gone")),
        ([b"550 4.1.1 muddled"], Reply(550, None, "4.1.1 muddled")),
        ([b"550 5.01.1 leading zero"], Reply(550, None, "5.01.1 leading zero")),
        ([b"550 5.1.1.1 an address"], Reply(550, None, "5.1.1.1 an address")),
        ([b"451 4.7.0\tlater\x00\xff\x1b[31m"], Reply(451, "4.7.0", "later���[31m")),
        ([b"2505 what"], Reply(0, None, "2505 what")),
        ([b""], Reply(0, None, "")),
        ([], Reply(0, None, "")),
    ],
)
def test_a_reply_is_taken_apart(lines: list[bytes], expected: Reply) -> None:
    assert parse_reply(lines) == expected


def test_a_long_reply_is_cut() -> None:
    assert parse_reply([b"550-5.1.1 " + "€".encode() * 900] * 5).text == ("€" * 900 + " " + "€" * 900)[:1_000]


@given(st.sampled_from(Phase), st.lists(st.binary(max_size=60)))
def test_any_bytes_have_a_verdict(phase: Phase, lines: list[bytes]) -> None:
    reply = parse_reply(lines)
    assert "\x00" not in reply.text
    reply.text.encode()
    judge(phase, reply)


@given(st.sampled_from(WIRE), st.integers(0, 999), st.from_regex(r"[245]\.[0-7]\.[0-9]{1,2}", fullmatch=True))
def test_what_must_hold_for_every_code(phase: Phase, code: int, enhanced: str) -> None:
    found = verdict(phase, f"{code:03} {enhanced} text")
    if phase is not Phase.DATA and phase is not Phase.CONNECT:
        by_digit = {2: Outcome.ACCEPTED, 4: Outcome.DEFERRED, 5: Outcome.REJECTED}
        odd = Outcome.UNKNOWN if phase is Phase.BODY else Outcome.DEFERRED
        assert found.credentials_refused or found.outcome is by_digit.get(code // 100, odd)
    if found.suppress:
        assert found.outcome is Outcome.REJECTED
        assert found.blame is Blame.RECIPIENT
        assert phase in {Phase.RCPT, Phase.DATA, Phase.BODY}
    if found.spared:
        assert found.outcome is Outcome.DEFERRED
    if found.outcome is Outcome.UNKNOWN:
        assert phase is Phase.BODY


@pytest.mark.parametrize("phase", [Phase.RCPT, Phase.DATA, Phase.BODY])
@pytest.mark.parametrize("enhanced", ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"])
def test_a_dead_address_is_suppressed(phase: Phase, enhanced: str) -> None:
    found = verdict(phase, f"550 {enhanced} gone")
    assert found == Verdict(Outcome.REJECTED, "hard_bounce", Blame.RECIPIENT, suppress=True)


@pytest.mark.parametrize(
    ("phase", "line", "reason", "blame"),
    [
        (Phase.RCPT, "550 No such user", "no_such_mailbox", Blame.RECIPIENT),
        (Phase.RCPT, "550 5.5.0 mailbox unavailable", "no_such_mailbox", Blame.RECIPIENT),
        (Phase.RCPT, "552 5.2.2 over quota", "mailbox_full", Blame.RECIPIENT),
        (Phase.BODY, "552 5.3.4 too big", "too_large", Blame.SENDER),
        (Phase.RCPT, "550 5.7.1 blocked", "policy", Blame.SENDER),
        (Phase.BODY, "554 5.7.9 DMARC", "policy", Blame.SENDER),
        (Phase.BODY, "550 looks like spam", "content", Blame.SENDER),
        (Phase.RCPT, "550 5.1.8 bad sender domain", "sender_address", Blame.SENDER),
        (Phase.RCPT, "550 5.1.7 bad sender address", "sender_address", Blame.SENDER),
        (Phase.MAIL, "550 5.1.1 who are you", "sender_address", Blame.SENDER),
        (Phase.MAIL, "554 go away", "sender_address", Blame.SENDER),
        (Phase.MAIL, "550 5.7.1 not you", "policy", Blame.SENDER),
        (Phase.RCPT, "599 new code", "refused", Blame.RECIPIENT),
        (Phase.RCPT, "550 4.1.1 muddled", "no_such_mailbox", Blame.RECIPIENT),
    ],
)
def test_a_lasting_refusal_does_not_suppress_the_address(phase: Phase, line: str, reason: str, blame: Blame) -> None:
    assert verdict(phase, line) == Verdict(Outcome.REJECTED, reason, blame)


@pytest.mark.parametrize(
    ("phase", "line", "reason", "blame"),
    [
        (Phase.RCPT, "450 4.7.1 greylisted", "greylisted", Blame.RECIPIENT),
        (Phase.RCPT, "451 later", "try_later", Blame.RECIPIENT),
        (Phase.MAIL, "451 later", "try_later", Blame.SENDER),
        (Phase.RCPT, "452 4.2.2 over quota", "mailbox_full", Blame.RECIPIENT),
        (Phase.MAIL, "452 4.3.1 disk full", "relay_busy", Blame.RELAY),
        (Phase.RCPT, "450 4.7.28 too fast", "throttled", Blame.SENDER),
        (Phase.BODY, "451 4.3.0 try again", "relay_busy", Blame.RELAY),
        (Phase.RCPT, "499 new code", "try_later", Blame.RECIPIENT),
    ],
)
def test_a_passing_refusal_is_deferred_and_counts(phase: Phase, line: str, reason: str, blame: Blame) -> None:
    assert verdict(phase, line) == Verdict(Outcome.DEFERRED, reason, blame)


@pytest.mark.parametrize("phase", BEFORE_BODY)
def test_a_421_before_the_body_costs_the_recipient_nothing(phase: Phase) -> None:
    found = verdict(phase, "421 4.3.2 shutting down")
    assert (found.outcome, found.reason, found.spared, found.hangup) == (Outcome.DEFERRED, "closed", True, True)


def test_a_421_to_the_final_dot_is_a_definite_answer() -> None:
    found = verdict(Phase.BODY, "421 4.7.0 try later")
    assert (found.outcome, found.spared, found.hangup) == (Outcome.DEFERRED, False, True)


@pytest.mark.parametrize("phase", WIRE)
@pytest.mark.parametrize("line", ["530 5.7.0 STARTTLS first", "535 5.7.8 wrong", "534 5.7.9 weak", "538 encrypt"])
def test_refused_credentials_are_the_relays_matter(phase: Phase, line: str) -> None:
    found = verdict(phase, line)
    assert found.credentials_refused
    assert (found.outcome, found.blame, found.spared, found.hangup) == (Outcome.DEFERRED, Blame.RELAY, True, True)


def test_a_passing_failure_of_authentication_refuses_no_credentials() -> None:
    found = verdict(Phase.CONNECT, "454 4.7.0 temporary authentication failure")
    assert (found.outcome, found.spared, found.credentials_refused) == (Outcome.DEFERRED, True, False)


def test_a_refused_connection_rejects_nobody() -> None:
    found = verdict(Phase.CONNECT, "554 5.7.1 no service here")
    assert (found.outcome, found.blame, found.spared, found.hangup) == (Outcome.DEFERRED, Blame.RELAY, True, True)


def test_only_a_354_opens_the_body() -> None:
    assert verdict(Phase.DATA, "354 go on").outcome is Outcome.ACCEPTED
    early = verdict(Phase.DATA, "250 2.0.0 already?")
    assert (early.outcome, early.hangup) == (Outcome.DEFERRED, True)


@pytest.mark.parametrize("line", ["250 2.1.5 ok", "251 will forward", "252 2.5.2 cannot verify"])
def test_every_2xx_takes_the_recipient(line: str) -> None:
    assert verdict(Phase.RCPT, line).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("line", ["354 go on", "100 wait", "gibberish"])
def test_a_reply_out_of_step_closes_the_connection(line: str) -> None:
    for phase in (Phase.MAIL, Phase.RCPT):
        found = verdict(phase, line)
        assert (found.outcome, found.spared, found.hangup) == (Outcome.DEFERRED, False, True)
    after = verdict(Phase.BODY, line)
    assert (after.outcome, after.hangup) == (Outcome.UNKNOWN, True)


@pytest.mark.parametrize("phase", BEFORE_BODY)
def test_a_drop_before_the_body_costs_the_recipient_nothing(phase: Phase) -> None:
    assert judge_drop(phase, "Connection reset by peer") == Verdict(
        Outcome.DEFERRED, "closed", Blame.RELAY, spared=True, hangup=True
    )


def test_a_drop_after_the_first_byte_of_the_body_leaves_it_unknown() -> None:
    found = judge_drop(Phase.BODY, "Timed out after 600 s")
    assert (found.outcome, found.reason, found.spared, found.hangup) == (Outcome.UNKNOWN, "timeout", False, True)


def test_a_relay_that_is_out_of_step_is_left() -> None:
    found = verdict(Phase.RCPT, "503 5.5.1 MAIL first")
    assert (found.outcome, found.blame, found.hangup) == (Outcome.REJECTED, Blame.RELAY, True)
