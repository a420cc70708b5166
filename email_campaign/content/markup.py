"""Reading HTML as mail authors write it: a forgiving, linear scan, also of HTML in which Jinja tags stand."""

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

from email_campaign.content.environment import HTML

# While HTML is scanned, each Jinja tag is one character of a private plane of Unicode: outputs here, statements there.
_FIRST_OUTPUT, _LAST_OUTPUT = 0xF0000, 0xFFFFD
_FIRST_STATEMENT, _LAST_STATEMENT = 0x100000, 0x10FFFD
OUTPUTS = f"{chr(_FIRST_OUTPUT)}-{chr(_LAST_OUTPUT)}"
STATEMENTS = f"{chr(_FIRST_STATEMENT)}-{chr(_LAST_STATEMENT)}"
_PRIVATE = re.compile(f"[{OUTPUTS}{STATEMENTS}]")

_RAW_TEXT = frozenset({"style", "script", "title", "textarea", "xmp"})  # HTML 5.1: no tag stands inside these
# No `<` outside quotes and no choice between alternatives: a broken tag costs one look, never a quadratic search.
_TAG = re.compile(r"""<(/?)([a-zA-Z][^\s/>"'<]*)((?:[^"'<>]|"[^"]*"|'[^']*')*+)>""")
_ATTRIBUTE = re.compile(r"""([^\s=>"'/]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")


class Token(NamedTuple):
    """A piece of HTML. `kind`: text, open, close or skipped (a comment, or what stands in style, script, title)."""

    kind: str
    name: str
    raw: str
    position: int

    def attributes(self) -> dict[str, str]:
        """The attributes of an opening tag by lower-case name, entities decoded; the first of two counts."""
        found: dict[str, str] = {}
        for match in _ATTRIBUTE.finditer(self.raw):
            name, *values = match.groups()
            found.setdefault(name.lower(), html.unescape(next((value for value in values if value is not None), "")))
        return found


class Statement(NamedTuple):
    """A Jinja statement: its first word and its source."""

    keyword: str
    source: str


class Hidden:
    """HTML source in which every Jinja tag has become one private character."""

    def __init__(self, source: str) -> None:
        self.outputs: dict[str, str] = {}
        self.statements: list[Statement] = []
        self._characters: dict[str, str] = {}
        self._pieces: list[str] = []
        self._lines: list[int] = []
        self._tag: list[str] = []
        self._keyword = ""
        for line, kind, value in HTML.lex(_PRIVATE.sub("\ufffd", source)):
            self._add(line, kind, value)
        self.html = "".join(self._pieces)

    def output(self, character: str) -> str:
        """The source of the output that a private character stands for."""
        return self.outputs[character]

    def statement(self, character: str) -> Statement:
        """The statement that a private character stands for."""
        return self.statements[ord(character) - _FIRST_STATEMENT]

    def line_at(self, position: int) -> int:
        """The line of the source, from 1, of a position in the hidden HTML."""
        start = 0
        for piece, line in zip(self._pieces, self._lines, strict=True):
            if position < start + len(piece):
                return line + piece.count("\n", 0, position - start)
            start += len(piece)
        return self._lines[-1] if self._lines else 1

    def _add(self, line: int, kind: str, value: str) -> None:
        match kind:
            case "data":
                self._put(line, value)
            case "variable_begin" | "block_begin":
                self._tag, self._keyword = [], ""
            case "variable_end":
                self._put(line, self._character("{{ " + "".join(self._tag).strip() + " }}"))
            case "block_end":
                self._put(line, chr(_FIRST_STATEMENT + len(self.statements)))
                # The plus signs keep the white space around it, which has been settled by then.
                source = "{%+ " + "".join(self._tag).strip() + " +%}"
                self.statements.append(Statement(self._keyword, source))
            case "comment_begin" | "comment" | "comment_end" | "raw_begin" | "raw_end":
                pass
            case _:
                self._keyword = self._keyword or (value if kind == "name" else "")
                self._tag.append(value)

    def _character(self, source: str) -> str:
        """The same character for the same source, so that a link that shows its own address is seen as such."""
        character = self._characters.setdefault(source, chr(_FIRST_OUTPUT + len(self._characters)))
        self.outputs[character] = source
        return character

    def _put(self, line: int, piece: str) -> None:
        self._pieces.append(piece)
        self._lines.append(line)


def scan(source: str) -> Iterator[Token]:
    """The pieces of HTML in order, in linear time; what a browser would swallow is skipped."""
    position = 0
    while position < len(source):
        start = source.find("<", position)
        if start < 0:
            start = len(source)
        if start > position:
            yield Token("text", "", source[position:start], position)
        if start == len(source):
            return
        if source.startswith(("<!", "<?"), start):
            end = _after(source, "-->" if source.startswith("<!--", start) else ">", start)
            yield Token("skipped", "", source[start:end], start)
            position = end
        elif match := _TAG.match(source, start):
            slash, name, raw = match.groups()
            name = name.lower()
            yield Token("close" if slash else "open", name, raw, start)
            position = match.end()
            if name in _RAW_TEXT and not slash:
                closing = re.compile(rf"</{name}", re.IGNORECASE).search(source, position)
                end = closing.start() if closing else len(source)
                yield Token("skipped", name, source[position:end], position)
                position = end
        else:
            yield Token("text", "", "<", start)
            position = start + 1


def _after(source: str, mark: str, start: int) -> int:
    found = source.find(mark, start)
    return len(source) if found < 0 else found + len(mark)
