"""What a template may contain: an allow-list on the syntax tree, so that what is unknown is refused."""

import inspect
from collections.abc import Iterable
from typing import NamedTuple

from jinja2 import nodes

from email_campaign.content.environment import TESTS
from email_campaign.content.filters import EACH, FILTERS

MAX_NODES = 20_000
MAX_EXPRESSION_NODES = 100
MAX_DEPTH = 20
MAX_LOOP_DEPTH = 2
MAX_LIST_ENTRIES = 100
MAX_NUMBER = 10**12
MAX_PROBLEMS = 10

_EXPRESSIONS = (
    nodes.Name, nodes.Const, nodes.TemplateData, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword,
    nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.And,
    nodes.Or, nodes.Not, nodes.CondExpr, nodes.Concat, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv,
    nodes.Mod, nodes.Neg, nodes.Pos,
)  # fmt: skip

_REFUSED = {
    nodes.Call: "Calls are not allowed; use a filter, as in {{ name|upper }}.",
    nodes.Pow: "“**” is not allowed.",
    nodes.Assign: "“{% set %}” is not allowed.",
    nodes.AssignBlock: "“{% set %}” is not allowed.",
    nodes.With: "“{% with %}” is not allowed.",
    nodes.Macro: "“{% macro %}” is not allowed.",
    nodes.CallBlock: "“{% call %}” is not allowed.",
    nodes.FilterBlock: "“{% filter %}” is not allowed; write the filter after the value.",
    nodes.Include: "“{% include %}” is not allowed: a template stands for itself.",
    nodes.Import: "“{% import %}” is not allowed: a template stands for itself.",
    nodes.FromImport: "“{% from %}” is not allowed: a template stands for itself.",
    nodes.Extends: "“{% extends %}” is not allowed: a template stands for itself.",
    nodes.Block: "“{% block %}” is not allowed: a template stands for itself.",
}


class LineProblem(NamedTuple):
    """What is wrong on a line (from 1), and how to mend it."""

    line: int
    message: str


def check(tree: nodes.Template) -> list[LineProblem]:
    """The first problems of a parsed template, none for a good one; its loops are bounded on the way."""
    walk = _Walk()
    walk.statements(tree.body, depth=0, loops=0)
    return walk.problems[:MAX_PROBLEMS]


class _Walk:
    def __init__(self) -> None:
        self.problems: list[LineProblem] = []
        self.count = 0

    def statements(self, body: Iterable[nodes.Node], depth: int, loops: int) -> int:
        """Check statements and return their weight: the nodes that one run through them visits."""
        weight = 1
        for node in body:
            if depth > MAX_DEPTH:
                self._refuse(node, f"More than {MAX_DEPTH} blocks stand inside each other.")
                break
            weight += self._statement(node, depth, loops)
        return weight

    def _statement(self, node: nodes.Node, depth: int, loops: int) -> int:
        match node:
            case nodes.Output():
                return sum(self._expression(child) for child in node.nodes)
            case nodes.If():
                weight = self._expression(node.test)
                for branch in (node.body, node.elif_, node.else_):
                    weight += self.statements(branch, depth + 1, loops)
                return weight
            case nodes.For():
                return self._loop(node, depth, loops)
            case _:
                self._refuse(node, _REFUSED.get(type(node), "This statement is not allowed."))
                return 1

    def _loop(self, node: nodes.For, depth: int, loops: int) -> int:
        if loops >= MAX_LOOP_DEPTH:
            self._refuse(node, f"More than {MAX_LOOP_DEPTH} loops stand inside each other.")
            return 1
        if node.recursive:
            self._refuse(node, "A recursive loop is not allowed.")
        if not _is_list(node.iter):
            self._refuse(node, "A loop runs over a variable, or over a short list of constants.")
        self._expression(node.target)
        weight = self._expression(node.iter)
        body = self.statements(node.body, depth + 1, loops + 1)
        if node.test is not None:
            body += self._expression(node.test)
        node.iter = nodes.Filter(
            node.iter, EACH, [nodes.Const(body, lineno=node.lineno)], [], None, None, lineno=node.lineno
        )
        return weight + self.statements(node.else_, depth + 1, loops)

    def _expression(self, root: nodes.Node) -> int:
        """Check one expression, without recursion: its tree may be deep."""
        pending, seen = [root], 0
        while pending and seen <= MAX_EXPRESSION_NODES:
            node = pending.pop()
            seen += 1
            self._node(node)
            pending.extend(node.iter_child_nodes())
        self.count += seen
        if pending:
            self._refuse(root, f"The expression has more than {MAX_EXPRESSION_NODES} parts.")
        if self.count > MAX_NODES >= self.count - seen:
            self._refuse(root, f"The template has more than {MAX_NODES:,} parts.")
        return seen

    def _node(self, node: nodes.Node) -> None:
        if not isinstance(node, _EXPRESSIONS):
            self._refuse(node, _REFUSED.get(type(node), "This expression is not allowed."))
            return
        match node:
            case nodes.Name(name=name) if name.startswith("__") or name == "self":
                self._refuse(node, f"The name “{name[:40]}” is not allowed.")
            case nodes.Getattr(attr=name) | nodes.Getitem(arg=nodes.Const(value=str(name))) if name.startswith("_"):
                self._refuse(node, f"The name “{name[:40]}” is not allowed.")
            case nodes.Const(value=int() | float()) if abs(node.value) > MAX_NUMBER:
                self._refuse(node, f"A number is larger than {MAX_NUMBER:,}.")
            case nodes.Mul() if _is_text(node.left) or _is_text(node.right):
                self._refuse(node, "A text cannot be multiplied.")
            case nodes.Test() if node.name not in TESTS:
                self._refuse(node, f"There is no test “{node.name[:40]}”. There are: {', '.join(TESTS)}.")
            case nodes.Filter():
                self._filter(node)

    def _filter(self, node: nodes.Filter) -> None:
        function = FILTERS.get(node.name)
        if function is None:
            self._refuse(node, f"There is no filter “{node.name[:40]}”. There are: {', '.join(FILTERS)}.")
        elif node.dyn_args is not None or node.dyn_kwargs is not None:
            self._refuse(node, "“*” is not allowed among the arguments of a filter.")
        else:
            leading = 2 if hasattr(function, "jinja_pass_arg") else 1
            try:
                inspect.signature(function).bind(
                    *[None] * leading, *node.args, **{str(pair.key): None for pair in node.kwargs}
                )
            except TypeError:
                self._refuse(node, f"The filter “{node.name}” does not take these arguments.")

    def _refuse(self, node: nodes.Node, message: str) -> None:
        self.problems.append(LineProblem(node.lineno or 1, message))


def _is_list(node: nodes.Node) -> bool:
    while isinstance(node, nodes.Filter | nodes.Getattr | nodes.Getitem) and node.node is not None:
        node = node.node
    if isinstance(node, nodes.List | nodes.Tuple):
        return len(node.items) <= MAX_LIST_ENTRIES and all(isinstance(item, nodes.Const) for item in node.items)
    return isinstance(node, nodes.Name)


def _is_text(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Concat) or (isinstance(node, nodes.Const) and isinstance(node.value, str))
