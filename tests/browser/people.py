"""Who is at the browser, and what they do on more than one occasion."""

from playwright.sync_api import FilePayload, Page, expect

ADDRESS = "ines@example.com"
PASSWORD = "correct horse battery"

FILE = """email,name,city
ada@library.test,Ada Byron,London
grace@choir.example,Grace Hopper,Arlington
zoe@kiosk.example,Zoë Müller,Zürich
not-an-address,Nobody,Nowhere
"""
GET_IN = 3
"""People of the file whom one can write to."""
HTML = """<h1>Spring in {{ city }}</h1>
<p>Dear {{ name }}, your seeds are packed.</p>
<img src="https://images.example/poppy.png" alt="A poppy">
<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>
"""


def sign_in(page: Page) -> None:
    """From the door to the dashboard."""
    page.goto("/admin")
    page.get_by_label("Address").fill(ADDRESS)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Dashboard", level=1)).to_be_visible()


def make_list(page: Page, name: str) -> None:
    """From anywhere to the page of a new list."""
    page.goto("/admin/lists/new")
    page.get_by_role("textbox", name="Name", exact=True).fill(name)
    page.get_by_role("button", name="Make the list").click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


def upload(page: Page) -> None:
    """From the page of a list to the import of FILE into it, looked at and begun."""
    look_at_file(page, "spring.csv", FILE)
    page.get_by_role("button", name="Import").first.click()
    expect(page.get_by_text("Nothing is imported yet")).to_be_hidden()


def look_at_file(page: Page, name: str, content: str) -> None:
    """From the page of a list to a file that is uploaded and not yet imported into it."""
    page.get_by_role("link", name="Import into this list").first.click()
    page.get_by_label("CSV file").set_input_files(FilePayload(name=name, mimeType="text/csv", buffer=content.encode()))
    page.get_by_role("button", name="Upload and look").click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
    expect(page.get_by_text("Nothing is imported yet")).to_be_visible()


def write_template(page: Page, name: str, html: str = HTML, *, reader: str = "ada@library.test") -> None:
    """From anywhere to the form of a new template, filled, previewed for this reader and not saved."""
    page.goto("/admin/templates/new")
    page.get_by_role("textbox", name="Name", exact=True).fill(name)
    page.get_by_label("Subject", exact=True).fill("{{ name }}, your spring seeds are packed")
    page.locator("#f-html").fill(html)
    page.get_by_label("Preview as").fill(reader)


def write_campaign(page: Page, name: str, *, template: str, to: str) -> None:
    """From anywhere to the form of a new campaign, filled and not saved."""
    page.goto("/admin/campaigns/new")
    page.get_by_role("textbox", name="Name", exact=True).fill(name)
    page.get_by_label("Template").select_option(label=template)
    page.get_by_label(to).check()
    page.get_by_label("Sender's name").fill("The Seed Library")
    page.get_by_label("Sender's address").fill("letters@seeds.example")
