"""The text part of a mail that has only HTML: made from the template where that is exact, else from each result."""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from email_campaign.content.markup import OUTPUTS, STATEMENTS, Hidden, Statement, Token, scan

# White space that stands beside a statement is settled after rendering, when it is known what the statement left.
_SPACE, _LINE, _PARAGRAPH = "\x1d", "\x1e", "\x1f"
_MARKS = re.compile(f"[{_SPACE}{_LINE}{_PARAGRAPH}]+")
_WHITE = re.compile(f"[ \t\r\n\f\xa0{_SPACE}{_LINE}{_PARAGRAPH}]+")
_SPLIT = re.compile(f"([{STATEMENTS}])")
_OUTPUT = re.compile(f"[{OUTPUTS}]")
_HIDING = re.compile(r"hid(?:den|e)|display", re.IGNORECASE)
_HIDING_STYLE = re.compile(r"display\s*:\s*none|mso-hide\s*:\s*all", re.IGNORECASE)

_PARAGRAPHS = frozenset({
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "blockquote", "pre", "table", "hr",
})  # fmt: skip
_LINES = frozenset({
    "div", "tr", "li", "dt", "dd", "section", "article", "header", "footer", "main", "aside", "nav", "address",
    "center", "figure", "figcaption", "form",
})  # fmt: skip
_VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
})  # fmt: skip
_DROPPED = frozenset({
    "head", "style", "script", "title", "noscript", "template", "textarea", "select", "object", "svg",
})  # fmt: skip


class NotStatic(Exception):
    """The template's tags and its HTML interleave, so that only the rendered HTML can be turned into text."""


def from_html(source: str) -> str:
    """The text of rendered HTML: links as `text (url)`, lists with dashes or numbers, nothing that is hidden."""
    return "".join(_Writer().write(source)).strip()


def derive(source: str) -> str | None:
    """A text template that says what the HTML template says, or None where only its results can tell.

    Put what it renders through `settle`.
    """
    hidden = Hidden(source)
    try:
        pieces = _Writer(hidden.statement).write(hidden.html)
    except NotStatic:
        return None
    # An entity may spell a brace: whatever came as data must not become a tag.
    text = "".join(pieces).replace("{", "{{ '{' }}")
    text = _OUTPUT.sub(lambda match: hidden.output(match[0]), text)
    return _SPLIT.sub(lambda match: hidden.statement(match[0]).source, text)


def settle(text: str) -> str:
    """Turn the marks in a derived text into blanks and line breaks. Cheap where there are none."""
    if _SPACE in text or _LINE in text or _PARAGRAPH in text:
        text = _MARKS.sub(_strongest, text)
    return text.strip()


def _strongest(match: re.Match[str]) -> str:
    marks = match[0]
    return "\n\n" if _PARAGRAPH in marks else "\n" if _LINE in marks else " "


@dataclass(slots=True)
class _Link:
    url: str
    start: int


@dataclass(slots=True)
class _List:
    numbered: bool
    count: int = 0


@dataclass(slots=True)
class _Writer:
    """Writes text while it follows the open elements; statements must find the same elements open on all branches."""

    statement: Callable[[str], Statement] | None = None
    pieces: list[str] = field(default_factory=list)
    breaks: int = 0
    space: bool = False
    fresh: bool = True
    after_statement: bool = False
    preformatted: int = 0
    skipping: str = ""
    dropped: list[str] = field(default_factory=list)
    links: list[_Link] = field(default_factory=list)
    lists: list[_List] = field(default_factory=list)
    blocks: list[tuple[object, ...]] = field(default_factory=list)

    def write(self, source: str) -> list[str]:
        for token in scan(source):
            match token.kind:
                case "text":
                    self._text(token.raw)
                case "open":
                    self._refuse_statement(token)
                    self._open(token)
                case "close":
                    self._refuse_statement(token)
                    self._close(token.name)
                case _:
                    self._statements_only(token)
        while self.links:
            self._end_link(self.links.pop())
        return self.pieces

    def _refuse_statement(self, token: Token) -> None:
        if self.statement and _SPLIT.search(token.raw):
            raise NotStatic

    def _statements_only(self, token: Token) -> None:
        if self.statement:
            self.skipping = token.name or token.raw[:4]
            for character in _SPLIT.findall(token.raw):
                self._statement(character, self.statement)
            self.skipping = ""

    def _text(self, raw: str) -> None:
        if not self.statement:
            self._data(raw)
            return
        for index, part in enumerate(_SPLIT.split(raw)):
            if index % 2:
                self._statement(part, self.statement)
            else:
                self._data(part)

    def _data(self, raw: str) -> None:
        if not raw or self.dropped:
            return
        text = html.unescape(raw)
        if self.preformatted:
            self._put(_MARKS.sub(" ", text))
            return
        text = _WHITE.sub(" ", text)
        if text[0] == " ":
            self.space = True
        words = text.strip(" ")
        if words:
            self._put(words)
            self.space = text[-1] == " "

    def _put(self, text: str) -> None:
        """Write text after the white space that is due before it."""
        self._flush(as_marks=self.after_statement)
        self.pieces.append(text)
        self.fresh = self.after_statement = False

    def _flush(self, *, as_marks: bool) -> None:
        if self.breaks and not self.fresh:
            self.pieces.append(("", _LINE, _PARAGRAPH)[self.breaks] if as_marks else "\n" * self.breaks)
        elif self.space and not self.fresh:
            self.pieces.append(_SPACE if as_marks else " ")
        self.breaks, self.space = 0, False

    def _statement(self, character: str, meaning: Callable[[str], Statement]) -> None:
        self._flush(as_marks=True)
        self.pieces.append(character)
        self.after_statement = True
        state = self._state()
        match meaning(character).keyword:
            case "if" | "for":
                self.blocks.append(state)
            case "elif" | "else":
                if self.blocks[-1] != state:
                    raise NotStatic
            case _:
                if self.blocks.pop() != state:
                    raise NotStatic

    def _state(self) -> tuple[object, ...]:
        numbers = tuple((item.numbered, item.count if item.numbered else 0) for item in self.lists)
        links = tuple(link.start for link in self.links)
        return self.fresh, self.preformatted, self.skipping, tuple(self.dropped), links, numbers

    def _break(self, count: int) -> None:
        self.breaks = max(self.breaks, count)

    def _open(self, token: Token) -> None:
        name = token.name
        if self.dropped:
            if name == self.dropped[0]:
                self.dropped.append(name)
            return
        # Reading attributes is the dear part; few tags have one that matters.
        attributes = token.attributes() if name in {"a", "img"} or _HIDING.search(token.raw) else {}
        if _is_hidden(name, attributes):
            if name not in _VOID:
                self.dropped.append(name)
            return
        self._break_around(name)
        self._begin(name, attributes)

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        match name:
            case "br":
                self.breaks = min(2, self.breaks + 1)
            case "hr":
                self._put("-" * 20)
                self._break(2)
            case "img":
                self._data(html.escape(attributes.get("alt", ""), quote=False))
            case "td" | "th":
                self.space = True
            case "pre":
                self.preformatted += 1
            case "ul" | "ol":
                self.lists.append(_List(numbered=name == "ol"))
            case "li":
                self._item()
            case "a":
                self.links.append(_Link(attributes.get("href", "").strip(), len(self.pieces)))

    def _item(self) -> None:
        items = self.lists[-1] if self.lists else _List(numbered=False)
        items.count += 1
        mark = f"{items.count}. " if items.numbered else "- "
        self._put("  " * max(0, len(self.lists) - 1) + mark)
        self.fresh = True  # no break between the mark and a paragraph in the item

    def _close(self, name: str) -> None:
        if self.dropped:
            if name == self.dropped[0]:
                self.dropped.pop()
            return
        if name == "a" and self.links:
            self._end_link(self.links.pop())
        elif name == "pre" and self.preformatted:
            self.preformatted -= 1
        elif name in {"ul", "ol"} and self.lists:
            self.lists.pop()
        elif name == "li":
            self.fresh = False  # of an item without text
        elif name in {"td", "th"}:
            self.space = True
        self._break_around(name)

    def _end_link(self, link: _Link) -> None:
        text = "".join(self.pieces[link.start :]).strip()
        if _SPLIT.search(text):
            raise NotStatic  # whether the link has a text will be known only then
        url = link.url.removeprefix("mailto:")
        if url and not url.startswith(("#", "javascript:")) and text not in {url, link.url}:
            space = self.space
            self.space = bool(text) or space
            self._put(f"({url})" if text else url)
            self.space = space

    def _break_around(self, name: str) -> None:
        if name in _PARAGRAPHS:
            nested = name in {"ul", "ol"} and bool(self.lists)
            self._break(1 if nested else 2)
        elif name in _LINES:
            self._break(1)


def _is_hidden(name: str, attributes: dict[str, str]) -> bool:
    return name in _DROPPED or "hidden" in attributes or bool(_HIDING_STYLE.search(attributes.get("style", "")))
