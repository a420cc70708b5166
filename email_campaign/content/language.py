"""What a mailing says: three templates, checked and compiled once, rendered for each recipient."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from jinja2 import Template, TemplateError, TemplateSyntaxError, UndefinedError, meta, nodes

from email_campaign.content import plain
from email_campaign.content.environment import HTML, TEXT, MailEnvironment, MissingVariable
from email_campaign.content.grammar import LineProblem, check
from email_campaign.content.mime import one_line
from email_campaign.errors import FieldProblem, Invalid

MAX_SUBJECT_CHARACTERS = 1_000
MAX_PART_CHARACTERS = 512 * 1024
MAX_RENDERED_CHARACTERS = 1024 * 1024
MAX_RENDERED_SUBJECT_CHARACTERS = 2_000

_CHUNKS = 64

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

_LABELS = {"subject": "subject", "html": "HTML part", "text": "text part"}


class RenderError(Invalid):
    """The content cannot be rendered for this recipient: `part` and `line` say where, `variable` what is missing."""

    def __init__(self, part: str, line: int | None, message: str, variable: str | None = None) -> None:
        where = f"Line {line} of the {_LABELS[part]}" if line else f"The {_LABELS[part]}"
        super().__init__(f"{where}: {message}", [FieldProblem(part, f"Line {line}: {message}" if line else message)])
        self.part = part
        self.reason = message
        self.line = line
        self.variable = variable


class Rendered(NamedTuple):
    """What one recipient reads. The subject is one line; the parts have `\\n` line ends."""

    subject: str
    html: str | None
    text: str


class Content:
    """Compiled content. Rendering is pure: the same variables give the same text."""

    def __init__(self, subject: "_Part", html: "_Part | None", text: "_Part | None", *, is_derived: bool) -> None:
        self._subject = subject
        self._html = html
        self._text = text
        self._is_derived = is_derived
        parts = [part for part in (subject, html, text) if part is not None]
        self.variables: frozenset[str] = frozenset().union(*(part.variables for part in parts))
        """The names that the templates use, and no others."""
        self._names = tuple(self.variables)

    def render(self, variables: Mapping[str, object]) -> Rendered:
        """Raises RenderError. Names that the templates do not use are ignored; None counts as missing."""
        values = {name: value for name in self._names if (value := variables.get(name)) is not None}
        subject = one_line(self._subject.render(values))
        if len(subject) > MAX_RENDERED_SUBJECT_CHARACTERS:
            raise RenderError("subject", None, f"It is longer than {MAX_RENDERED_SUBJECT_CHARACTERS:,} characters.")
        html = self._html.render(values) if self._html else None
        if self._text:
            text = self._text.render(values)
            return Rendered(subject, html, plain.settle(text) if self._is_derived else text)
        return Rendered(subject, html, plain.from_html(html or ""))


def compile_content(subject: str, html: str, text: str) -> Content:
    """Check and compile the sources. Raises Invalid with one problem for each wrong line.

    An empty HTML or text source means that there is none; an empty text is made from the HTML.
    """
    sources = {"subject": subject, "html": html, "text": text}
    problems = [problem for field, source in sources.items() for problem in _size_problems(field, source)]
    if not html.strip() and not text.strip():
        problems.append(FieldProblem("html", "Write an HTML part or a text part."))
    trees: dict[str, nodes.Template] = {}
    for field, source in sources.items():
        if not any(problem.field == field for problem in problems):
            found, tree = _parse(source, _environment(field))
            problems += [FieldProblem(field, f"Line {line}: {message}") for line, message in found]
            trees[field] = tree
    if problems:
        raise Invalid(f"The content has {len(problems)} mistake{'s'[: len(problems) > 1]}.", problems)
    subject_part = _Part("subject", trees["subject"])
    html_part = _Part("html", trees["html"]) if html.strip() else None
    if text.strip():
        return Content(subject_part, html_part, _Part("text", trees["text"]), is_derived=False)
    return Content(subject_part, html_part, _derived_part(html), is_derived=True)


class _Part:
    """One compiled template; a template without tags is just its text."""

    __slots__ = ("_constant", "_environment", "_field", "_template", "variables")

    def __init__(self, field: str, tree: nodes.Template) -> None:
        self._field = field
        self._environment = _environment(field)
        self.variables = meta.find_undeclared_variables(tree)
        self._constant = _constant(tree)
        try:
            code = self._environment.compile(tree)
        except (SyntaxError, RecursionError, MemoryError, TemplateError):
            # Python's own compiler has limits on nesting too; ours are meant to be tighter.
            raise Invalid.field(field, "The template is too deeply nested.") from None
        self._template = Template.from_code(self._environment, code, {})

    def render(self, values: Mapping[str, object]) -> str:
        if self._constant is not None:
            return self._constant
        template = self._template
        context = self._environment.context_class(self._environment, values, template.name, template.blocks)  # type: ignore[arg-type]
        rendered = ""
        try:
            chunks = template.root_render_func(context)
            # A few at a time, since one chunk may have 100,000 characters.
            while some := list(islice(chunks, _CHUNKS)):
                rendered += "".join(some)
                if len(rendered) > MAX_RENDERED_CHARACTERS:
                    raise ValueError("It becomes larger than 1 MB.")
        except MemoryError:
            raise
        except Exception as error:
            raise self._explain(error) from error
        return rendered

    def _explain(self, error: Exception) -> RenderError:
        line = None
        trace = error.__traceback__
        while trace is not None:
            if "__jinja_template__" in trace.tb_frame.f_globals:
                line = self._template.get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        if isinstance(error, MissingVariable) and error.variable:
            name = error.variable
            message = f'“{name}” has no value here. Write {{{{ {name}|default("…") }}}} where it may be missing.'
            return RenderError(self._field, line, message, name)
        if isinstance(error, TypeError):
            message = f"The values do not fit together ({error}). A text becomes a number with |int."
            return RenderError(self._field, line, message)
        if isinstance(error, ValueError | UndefinedError | ArithmeticError):
            return RenderError(self._field, line, str(error))
        return RenderError(self._field, line, f"It cannot be rendered ({type(error).__name__}: {error}).")


def _environment(field: str) -> MailEnvironment:
    return HTML if field == "html" else TEXT


def _size_problems(field: str, source: str) -> Iterator[FieldProblem]:
    limit = MAX_SUBJECT_CHARACTERS if field == "subject" else MAX_PART_CHARACTERS
    if len(source) > limit:
        yield FieldProblem(
            field, f"The {_LABELS[field]} has {len(source):,} characters; at most {limit:,} are allowed."
        )
    if _UNSTORABLE.search(source):
        yield FieldProblem(field, f"The {_LABELS[field]} contains a NUL or half a character.")


def _parse(source: str, environment: MailEnvironment) -> tuple[Iterable[LineProblem], nodes.Template]:
    """The problems of a source and its tree, which is of use only if there are none."""
    empty = nodes.Template([], lineno=1)
    try:
        tree = environment.parse(source)
        return check(tree), tree
    except TemplateSyntaxError as error:
        return [LineProblem(error.lineno, f"{error.message or 'This is no valid tag'}".rstrip(".") + ".")], empty
    except RecursionError:
        return [LineProblem(1, "The template is too deeply nested.")], empty
    except ValueError:
        # Python reads no whole number of more than 4,300 digits.
        return [LineProblem(1, "A number is too long.")], empty


def _constant(tree: nodes.Template) -> str | None:
    data: list[str] = []
    for node in tree.body:
        if not isinstance(node, nodes.Output) or not all(isinstance(item, nodes.TemplateData) for item in node.nodes):
            return None
        data += [item.data for item in node.nodes if isinstance(item, nodes.TemplateData)]
    return "".join(data)


def _derived_part(html: str) -> _Part | None:
    """The text template that follows from the HTML; None where it has to be made from each result."""
    source = plain.derive(html)
    if source is None:
        return None
    problems, tree = _parse(source, TEXT)
    # What does not fit the grammar after all (the braces that it spells out count as parts) is made from each result.
    return None if problems else _Part("text", tree)
