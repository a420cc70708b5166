"""The reckoning of the crash demo: who is lost, who was mailed twice, of whom nobody knows."""

from email_campaign.local.demo.verdict import Copy, Mail, judge

ADA = Copy("ada@choir.example", "accepted", "<1@example.com>")
BOB = Copy("bob@choir.example", "unknown", "<2@example.com>")
EVE = Copy("eve@choir.example", "skipped", "<3@example.com>")
AUDIENCE = ["ada@choir.example", "bob@choir.example", "eve@choir.example"]
TO_ADA = Mail("ada@choir.example", "<1@example.com>")
TO_BOB = Mail("bob@choir.example", "<2@example.com>")


def test_of_an_unknown_copy_it_says_whether_the_inbox_has_it() -> None:
    without = judge(AUDIENCE, [ADA, BOB, EVE], [TO_ADA])
    assert without.holds
    assert without.unknown == {"bob@choir.example": False}
    with_it = judge(AUDIENCE, [ADA, BOB, EVE], [TO_ADA, TO_BOB])
    assert with_it.holds
    assert with_it.unknown == {"bob@choir.example": True}
    assert with_it.in_ledger == {"accepted": 1, "unknown": 1, "skipped": 1}
    assert with_it.in_inbox == {"accepted": 1, "unknown": 1}


def test_an_accepted_copy_that_is_nowhere_is_lost() -> None:
    verdict = judge(AUDIENCE, [ADA, BOB, EVE], [TO_BOB])
    assert not verdict.holds
    assert verdict.lost == {"ada@choir.example": "is accepted, and the inbox does not have it"}


def test_who_is_still_pending_or_has_no_row_is_lost() -> None:
    pending = Copy("bob@choir.example", "pending", "<2@example.com>")
    verdict = judge(AUDIENCE, [ADA, pending], [TO_ADA])
    assert verdict.lost == {
        "bob@choir.example": "is still pending",
        "eve@choir.example": "is on the list and has no row",
    }


def test_two_mails_of_one_delivery_are_doubled_whatever_the_ledger_says() -> None:
    verdict = judge(AUDIENCE, [ADA, BOB, EVE], [TO_ADA, TO_BOB, TO_BOB])
    assert not verdict.holds
    assert verdict.doubled == {"bob@choir.example": "is in the inbox 2 times"}


def test_a_mail_to_somebody_who_was_skipped_and_a_mail_of_no_delivery_are_too_many() -> None:
    to_eve = Mail("eve@choir.example", "<3@example.com>")
    assert judge(AUDIENCE, [ADA, BOB, EVE], [TO_ADA, to_eve]).doubled == {
        "eve@choir.example": "is skipped, and the inbox has a mail"
    }
    stray = Mail("ada@choir.example", "<9@example.com>")
    assert judge(AUDIENCE, [ADA, BOB, EVE], [TO_ADA, stray]).doubled == {
        "ada@choir.example": "got <9@example.com>, which is no mail of theirs"
    }
