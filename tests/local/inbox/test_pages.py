"""The pages, read as plain HTML, and what guards them."""

import re

import httpx
import pytest

from email_campaign.local.inbox.server import Options, PortTaken, RunningInbox, running_inbox
from tests.local.inbox.samples import SAMPLES
from tests.local.inbox.wire import Wire, deliver

HOSTILE = (
    b"From: <script>alert(1)</script>\r\nSubject: <img src=x onerror=alert(1)>\r\nX-Header: <b>bold</b>\r\n"
    b"Content-Type: text/html\r\n\r\n<script>alert(1)</script><form action=/delete-all method=post><img src=http://elsewhere.example/p.gif>"
)  # fmt: skip


def fill(inbox: RunningInbox, count: int) -> None:
    for number in range(count):
        inbox.store.add("x", "a@f.example", [f"r{number}@to.example"], f"Subject: m{number}\r\n\r\nx".encode())


def subjects(page: httpx.Response) -> list[str]:
    return re.findall(r'class="subject">([^<]*)<', page.text)


def link(page: httpx.Response, rel: str) -> str:
    found = re.search(rf'rel="{rel}" href="([^"]+)"', page.text)
    assert found
    return found[1].replace("&amp;", "&")


def test_an_empty_inbox_says_where_to_send(inbox: RunningInbox, web: httpx.Client) -> None:
    assert f"No mail yet. Send to 127.0.0.1:{inbox.smtp_port}" in web.get("/").text


def test_the_list_pages_from_newest_to_oldest_and_back(inbox: RunningInbox, web: httpx.Client) -> None:
    fill(inbox, 120)
    first = web.get("/")
    assert subjects(first) == [f"m{number}" for number in range(119, 69, -1)]
    second = web.get(link(first, "next"))
    fill(inbox, 7)
    third = web.get(link(second, "next"))
    assert subjects(third) == [f"m{number}" for number in range(19, -1, -1)]
    assert subjects(web.get(link(third, "prev"))) == subjects(second)
    assert 'rel="next"' not in third.text
    assert "108–127 of 127" in third.text


def test_a_page_whose_mails_are_gone_leads_back(inbox: RunningInbox, web: httpx.Client) -> None:
    fill(inbox, 3)
    assert "are gone" in web.get("/?before=1").text
    assert len(subjects(web.get("/?before=nonsense&after=-5"))) == 3


def test_the_search_finds_decoded_subjects_and_keeps_the_words(inbox: RunningInbox, web: httpx.Client) -> None:
    fill(inbox, 3)
    deliver(inbox.smtp_port, SAMPLES["encoded-words"].data.encode())
    page = web.get("/", params={"q": "日本語 CAFÉ"})
    assert subjects(page) == ["日本語 café"]
    assert 'value="日本語 CAFÉ"' in page.text
    assert subjects(web.get("/?q=r1@to")) == ["m1"]
    assert "No mail holds “nothing &lt;b&gt;”" in web.get("/?q=nothing+<b>").text


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("view", ["", "html", "text", "checks", "parts", "headers", "source", "nonsense"])
def test_every_view_of_a_mail_is_a_page(name: str, view: str, inbox: RunningInbox, web: httpx.Client) -> None:
    identity = deliver(inbox.smtp_port, SAMPLES[name].data.encode())
    assert web.get(f"/mail/{identity}", params={"view": view, "width": "phone", "theme": "dark"}).status_code == 200


def test_nothing_of_a_hostile_mail_reaches_a_page_as_markup(inbox: RunningInbox, web: httpx.Client) -> None:
    identity = deliver(inbox.smtp_port, HOSTILE)
    for path in (
        "/",
        f"/mail/{identity}",
        *(f"/mail/{identity}?view={view}" for view in ("checks", "parts", "headers", "source")),
    ):
        page = web.get(path)
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert "<b>bold" not in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert not re.search(r"<[^>]*\s(?:style|on\w+)=|<script(?! type=\"module\" src=)", page.text)


def test_the_frame_of_a_mail_is_sandboxed_and_loads_nothing(inbox: RunningInbox, web: httpx.Client) -> None:
    identity = deliver(inbox.smtp_port, HOSTILE)
    policy = web.get(f"/mail/{identity}/frame").headers["content-security-policy"].split("; ")
    assert policy[0] == "sandbox allow-popups allow-popups-to-escape-sandbox"
    assert "default-src 'none'" in policy
    assert "img-src data:" in policy
    assert not [directive for directive in policy if "script" in directive]


def test_an_attachment_is_only_ever_saved(inbox: RunningInbox, web: httpx.Client) -> None:
    identity = deliver(inbox.smtp_port, SAMPLES["attachment"].data.encode())
    response = web.get(f"/mail/{identity}/part/3")
    assert response.content == b"a=b;c"
    assert response.headers["content-disposition"] == "attachment; filename*=UTF-8''n%C3%A4me.csv"
    assert response.headers["content-type"] == "application/octet-stream"
    for section in ("99", "0", "1.1", "-"):
        assert web.get(f"/mail/{identity}/part/{section}").status_code == 404


def test_a_mail_is_read_when_it_is_opened(inbox: RunningInbox, web: httpx.Client) -> None:
    fill(inbox, 3)
    newest = inbox.store.newest()[0]
    assert "3 unread" in web.get("/").text
    web.head(f"/mail/{newest.id}")
    web.get(f"/mail/{newest.id}", headers={"Sec-Purpose": "prefetch"})
    assert inbox.store.unread == 3
    web.get(f"/mail/{newest.id}")
    web.get(f"/mail/{newest.id}?view=source")
    page = web.get("/")
    assert "2 unread" in page.text
    assert page.text.count('class="unread"') == 2
    assert subjects(web.get("/?q=is:unread")) == ["m1", "m0"]
    assert web.post(f"/mail/{newest.id}/unread").headers["location"] == "/"
    assert inbox.store.unread == 3


def test_all_mails_are_marked_read_at_once(inbox: RunningInbox, web: httpx.Client) -> None:
    fill(inbox, 3)
    before = inbox.store.changes
    assert web.post("/mark-all-read").headers["location"] == "/"
    assert "unread" not in web.get("/").text.split("<details")[0]
    assert inbox.store.changes > before
    assert web.post("/mark-all-read", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_deleting_asks_posts_and_leads_back(inbox: RunningInbox, web: httpx.Client) -> None:
    fill(inbox, 3)
    newest = inbox.store.newest()[0]
    assert "Delete all 3 mails?" in web.get("/delete-all").text
    assert len(inbox.store) == 3
    gone = web.post(f"/mail/{newest.id}/delete")
    assert (gone.status_code, gone.headers["location"]) == (303, "/")
    assert web.get(f"/mail/{newest.id}").status_code == 404
    assert len(inbox.store) == 2
    assert web.post("/delete-all").status_code == 303
    assert len(inbox.store) == 0


def test_the_poll_tells_arrivals_and_removals(inbox: RunningInbox, web: httpx.Client) -> None:
    before = web.get("/poll").json()
    fill(inbox, 1)
    after = web.get("/poll").json()
    assert after == {"changes": before["changes"] + 1, "total": 1}
    assert f'data-changes="{after["changes"]}"' in web.get("/").text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_no_other_site_can_delete(headers: dict[str, str], status: int, inbox: RunningInbox, web: httpx.Client) -> None:
    fill(inbox, 1)
    assert web.post("/delete-all", headers=headers).status_code == status
    fill(inbox, 1)
    assert web.delete("/api/v1/messages", headers=headers).status_code == (200 if status == 303 else 403)
    assert len(inbox.store) == (0 if status == 303 else 2)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9", 200),
        ("localhost", 200),
        ("[::1]:8025", 200),
        ("evil.example:8025", 403),
        ("127.0.0.1.evil.example", 403),
        ("[nonsense", 403),
    ],
)
def test_a_foreign_host_name_is_refused(host: str, status: int, web: httpx.Client) -> None:
    assert web.get("/api/v2/messages", headers={"Host": host}).status_code == status


def test_an_inbox_open_to_the_network_answers_to_addresses_and_single_names() -> None:
    with running_inbox(Options(host="0.0.0.0")) as inbox, httpx.Client() as web:
        url = inbox.http_url.replace("0.0.0.0", "127.0.0.1")
        for host, status in (("mailhog:8025", 200), ("10.1.2.3:8025", 200), ("evil.example", 403)):
            assert web.get(url, headers={"Host": host}).status_code == status


def test_style_and_script_come_from_here(web: httpx.Client) -> None:
    page = web.get("/")
    addresses = re.findall(r'(?:src|href)="(/static/[^"#]+)', page.text)
    assert len(set(addresses)) >= 4
    for address in set(addresses):
        assert web.get(address).status_code == 200
    assert "http" not in re.sub(r'xmlns="[^"]+"', "", page.text.split("<main")[0])


def test_a_taken_port_is_named_with_its_setting(inbox: RunningInbox) -> None:
    with pytest.raises(PortTaken, match="INBOX_SMTP_PORT"), running_inbox(Options(smtp_port=inbox.smtp_port)):
        pass


def test_stopping_cuts_open_connections() -> None:
    with running_inbox() as inbox:
        wire = Wire(inbox.smtp_port)
        assert wire.reply()
    with wire, pytest.raises((ConnectionError, IndexError)):
        wire.say("NOOP")
