"""What the inbox says to each SMTP command: MailHog's answers, without any network.

Where MailHog's answer is an accident, this does the sensible thing instead:
`MAIL FROM:<>` is accepted (a bounce can arrive); DATA without a recipient is refused with 500; RSET and a finished mail
keep the HELO name, and RSET does not stand in for HELO; EHLO within a transaction ends it (RFC 5321 4.1.4).
"""

import base64
import binascii
import re
from collections.abc import Callable

from email_campaign.local.inbox.jim import Jim, happens
from email_campaign.local.inbox.mail import text_of
from email_campaign.local.inbox.store import Store
from email_campaign.local.inbox.trouble import REPLIES, Action, Troubles

MAX_RECIPIENTS = 10_000

_MAIL_FROM = re.compile(rb"FROM:[ \t]*<([^>\r\n]*)>", re.IGNORECASE)
_RCPT_TO = re.compile(rb"TO:[ \t]*<([^>\r\n]+)>", re.IGNORECASE)

_OK = b"250 Ok\r\n"
_UNRECOGNISED = b"500 Unrecognised command\r\n"
_AUTHENTICATED = b"235 Authentication successful\r\n"
_BAD_PARAMETER = b"550 Badly formed parameter\r\n"
_ASK_USERNAME = b"334 VXNlcm5hbWU6\r\n"
_ASK_PASSWORD = b"334 UGFzc3dvcmQ6\r\n"
_ASK_CRAM = b"334 PDQxOTI5NDIzNDEuMTI4Mjg0NzJAc291cmNlZm91ci5hbmRyZXcuY211LmVkdT4=\r\n"


class Conversation:
    """The state of one connection. After DATA it waits for `finish`; after QUIT it `is_over`."""

    def __init__(self, store: Store, jim: Jim | None = None, troubles: Troubles | None = None) -> None:
        """`jim` may refuse what is good, `troubles` what goes to certain recipients."""
        self._jim = jim or Jim()
        self._troubles = troubles or Troubles()
        self.in_message = False
        self.is_over = False
        self.delay_seconds = 0.0
        """How long the reply to the last command has to wait, and with it all that follows on this connection."""
        self._store = store
        self._helo: str | None = None
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._drop: Action | None = None
        self._expected: Callable[[bytes], bytes] | None = None

    def greeting(self) -> bytes:
        return f"220 {self._store.host_name} ESMTP MailHog\r\n".encode()

    def answer(self, line: bytes) -> bytes:
        """The reply to one command line (without its CRLF), or to a line of an AUTH exchange."""
        self.delay_seconds = 0.0
        if self._expected is not None:
            expected, self._expected = self._expected, None
            return expected(line)
        verb, _, words = line.partition(b" ")
        match verb.upper():
            case b"MAIL":
                return self._mail(words)
            case b"RCPT":
                return self._rcpt(words)
            case b"DATA":
                return self._data()
            case b"RSET":
                self._forget()
                return _OK
            case b"NOOP":
                return _OK
            case b"QUIT":
                self.is_over = True
                return b"221 Bye\r\n"
            case b"EHLO" | b"HELO":
                return self._hello(words, is_extended=verb.upper() == b"EHLO")
            case b"AUTH":
                return self._auth(words)
        return _UNRECOGNISED

    def finish(self, raw: bytes) -> bytes:
        """Store the mail of this transaction, and only then say so; or say nothing, where a rule hangs up."""
        drop, reply = self._drop, b""
        if drop != "lose-and-drop":
            mail = self._store.add(self._helo or "", self._sender or "", self._recipients, raw)
            reply = f"250 Ok: queued as {mail.id}\r\n".encode()
        self._forget()
        self.is_over = drop is not None
        return b"" if drop else reply

    def refuse(self, reply: bytes) -> bytes:
        """End the transaction without a mail."""
        self._forget()
        return reply

    def _forget(self) -> None:
        self.in_message = False
        self._sender = None
        self._recipients = []
        self._drop = None

    def _mail(self, words: bytes) -> bytes:
        if self._helo is None or self._sender is not None:
            return _UNRECOGNISED
        found = _MAIL_FROM.search(words)
        if found is None:
            return b"550 Invalid syntax in MAIL command\r\n"
        if happens(self._jim.reject_sender_chance):
            return b"550 Invalid sender " + found[1] + b"\r\n"
        self._sender = text_of(found[1])
        return b"250 Sender " + found[1] + b" ok\r\n"

    def _rcpt(self, words: bytes) -> bytes:
        if self._sender is None:
            return _UNRECOGNISED
        if len(self._recipients) >= MAX_RECIPIENTS:
            return b"452 Too many recipients\r\n"
        found = _RCPT_TO.search(words)
        if found is None:
            return b"550 Invalid syntax in RCPT command\r\n"
        if happens(self._jim.reject_recipient_chance):
            return b"550 Invalid recipient " + found[1] + b"\r\n"
        recipient = text_of(found[1])
        return self._trouble(recipient) or self._take(recipient, found[1])

    def _trouble(self, recipient: str) -> bytes | None:
        """The refusal that a rule has for this recipient; a rule that does something else is remembered."""
        rule = self._troubles.meet(recipient)
        if rule is None:
            return None
        self.delay_seconds = rule.seconds
        self.is_over = rule.action == "421"
        if rule.action in {"keep-and-drop", "lose-and-drop"}:
            self._drop = rule.action
        return REPLIES.get(rule.action)

    def _take(self, recipient: str, as_written: bytes) -> bytes:
        self._recipients.append(recipient)
        return b"250 Recipient " + as_written + b" ok\r\n"

    def _data(self) -> bytes:
        if self._sender is None:
            return _UNRECOGNISED
        if not self._recipients:
            return b"500 No valid recipients\r\n"
        self.in_message = True
        return b"354 End data with <CR><LF>.<CR><LF>\r\n"

    def _hello(self, words: bytes, *, is_extended: bool) -> bytes:
        self._helo = text_of(words)
        self._forget()
        if not is_extended:
            return b"250 Hello " + words + b"\r\n"
        return b"250-Hello " + words + b"\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n"

    def _auth(self, words: bytes) -> bytes:
        """Every mechanism and all credentials are good, as long as they are well formed."""
        if self._helo is None or self._sender is not None:
            return _UNRECOGNISED
        mechanism, blank, initial = words.partition(b" ")
        if blank and mechanism == b"PLAIN":
            return self._plain(initial)
        if blank and mechanism == b"EXTERNAL":
            return self._authenticated()
        match words:
            case b"PLAIN":
                self._expected = self._plain
                return b"334 \r\n"
            case b"LOGIN":
                self._expected = self._login_name
                return _ASK_USERNAME
            case b"CRAM-MD5":
                self._expected = self._any_response
                return _ASK_CRAM
        return b"504 Unsupported authentication mechanism\r\n"

    def _plain(self, response: bytes) -> bytes:
        try:
            fields = base64.b64decode(response, validate=True).split(b"\0")
        except binascii.Error:
            fields = []
        return self._authenticated() if len(fields) >= 3 else _BAD_PARAMETER

    def _login_name(self, response: bytes) -> bytes:
        if response == b"*":
            return _BAD_PARAMETER
        self._expected = self._any_response
        return _ASK_PASSWORD

    def _any_response(self, response: bytes) -> bytes:
        return _BAD_PARAMETER if response == b"*" else self._authenticated()

    def _authenticated(self) -> bytes:
        """The end of an exchange that is well formed: only then Jim looks at it."""
        return _UNRECOGNISED if happens(self._jim.reject_auth_chance) else _AUTHENTICATED
