"""The sandbox that templates of users are parsed, compiled and rendered in."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jinja2 import StrictUndefined, Undefined, UndefinedError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import missing
from markupsafe import escape

from email_campaign.content.filters import EACH, FILTERS, TEXT_FILTERS, each

TESTS = ("defined", "undefined", "none", "number", "string", "true", "false", "even", "odd", "in")
LOOP_FIELDS = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})

_SPECIAL = re.compile("[&<>\"']")

_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


class MissingVariable(UndefinedError):
    """A variable without a value was used for more than a test."""

    def __init__(self, variable: str | None, message: str | None) -> None:
        super().__init__(message)
        self.variable = variable


class Missing(StrictUndefined):
    """A value that is not there: false in a condition, an error that carries its name anywhere else."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: object = None,  # noqa: ARG002
    ) -> None:
        # Jinja calls `exc` with the message and raises the result; ours knows the variable as well.
        super().__init__(hint, obj, name, lambda message=None: MissingVariable(name, message))  # type: ignore[arg-type]

    def __bool__(self) -> bool:  # type: ignore[override]  # Jinja's own raises
        return False


class MailCode(CodeGenerator):
    """Writes a value out through `escaped`: what Jinja makes of it, a Markup object, costs most of a short output."""

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if frame.eval_ctx.autoescape:
            self.write("environment.escaped(")
        else:
            super()._output_child_pre(node, frame, finalize)


class MailEnvironment(SandboxedEnvironment):
    """Names, entries of JSON values and a few filters: no Python attribute is looked up, nothing is called."""

    code_generator_class = MailCode
    intercepted_binops = frozenset(_ARITHMETIC)

    def __init__(self, *, is_html: bool) -> None:
        super().__init__(autoescape=is_html, undefined=Missing, trim_blocks=True, lstrip_blocks=True)
        self.globals.clear()
        self.filters = {**(FILTERS if is_html else TEXT_FILTERS), EACH: each}
        self.tests = {name: self.tests[name] for name in TESTS}

    @staticmethod
    def escaped(value: object) -> str:
        """The value as it stands in HTML."""
        return value if type(value) is str and not _SPECIAL.search(value) else escape(value)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, LoopContext) and attribute in LOOP_FIELDS:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            return obj[argument]  # raises, and names the variable
        value = None
        if isinstance(obj, Mapping) or (isinstance(obj, Sequence) and isinstance(argument, int)):
            try:
                value = obj[argument]
            except (LookupError, TypeError):
                value = None
        return self.undefined(obj=obj, name=str(argument)) if value is None else value

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002 – Jinja's signature
        raise TypeError("A template cannot call anything.")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002 – likewise
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        # Text times a number and text % value make 10**9 characters out of ten.
        if numbers or (operator == "+" and isinstance(left, str) and isinstance(right, str)):
            return _ARITHMETIC[operator](left, right)
        if isinstance(left, Undefined) or isinstance(right, Undefined):
            str(left), str(right)  # raises, and names the variable
        raise TypeError(f"“{operator}” needs two numbers; a text becomes one with |int.")


HTML = MailEnvironment(is_html=True)
TEXT = MailEnvironment(is_html=False)
