"""Templates are checked when compiled and rendered exactly, for hostile authors and for odd contacts."""

import html as markup
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_campaign.content.language import MAX_PART_CHARACTERS, RenderError, compile_content
from email_campaign.errors import Invalid


def render_text(source: str, **variables: object) -> str:
    return compile_content("s", "", source).render(variables).text


def problems_of(source: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        compile_content("s", source, "")
    assert {problem.field for problem in caught.value.problems} == {"html"}
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize(("value", "expected"), [
    ("<", "&lt;"), (">", "&gt;"), ("&", "&amp;"), ('"', "&#34;"), ("'", "&#39;"), ("a b", "a b"),
    (1, "1"), (True, "True"),
    (["<"], "[&#39;&lt;&#39;]"),
])  # fmt: skip
def test_each_special_character_is_escaped_also_where_it_stands_alone(value: object, expected: str) -> None:
    content = compile_content("x", "{{ v }}|{{ v|e }}|{{ v|escape|escape }}", "{{ v }}")
    rendered = content.render({"v": value})
    assert (rendered.html, rendered.text) == (f"{expected}|{expected}|{expected}", str(value))


def test_variables_are_filled_in_and_escaped_in_html_only() -> None:
    mail = compile_content("Hi {{ name }}", "<p>{{ name }}</p>", "Hi {{ name }}").render({"name": "<B> & Co"})
    assert mail == ("Hi <B> & Co", "<p>&lt;B&gt; &amp; Co</p>", "Hi <B> & Co")


def test_content_names_exactly_the_variables_of_its_templates() -> None:
    content = compile_content(
        "{{ a }}", "{% for x in b %}{{ x }}{{ loop.index }}{% endfor %}", "{% if c %}{% endif %}{{ d|default(e) }}"
    )
    assert content.variables == {"a", "b", "c", "d", "e"}


def test_a_missing_variable_is_named_with_its_line() -> None:
    with pytest.raises(RenderError) as caught:
        compile_content("s", "<p>\n\n{{ city }}</p>", "").render({})
    assert (caught.value.part, caught.value.line, caught.value.variable) == ("html", 3, "city")
    assert "Line 3" in caught.value.message
    assert "city" in caught.value.message
    assert caught.value.problems[0].field == "html"


@pytest.mark.parametrize(
    "use",
    [
        "{{ x|upper }}",
        "{{ x ~ 'a' }}",
        "{{ x + 1 }}",
        "{% for i in x %}{% endfor %}",
        "{{ x[0] }}",
        "{{ x.y }}",
        "{{ x|join }}",
        "{{ x|int }}",
        "{{ -x }}",
        "{{ x > 1 }}",
    ],
)
def test_every_use_of_a_missing_variable_is_an_error(use: str) -> None:
    with pytest.raises(RenderError) as caught:
        render_text(use)
    assert caught.value.variable == "x"


@pytest.mark.parametrize("value", [{}, {"city": None}, {"city": ""}])
def test_a_default_and_a_condition_stand_for_what_a_contact_lacks(value: dict[str, object]) -> None:
    assert render_text("{{ city|default('there') }}{% if city %}!{% endif %}", **value) == "there"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ name|upper }} {{ name|title }} {{ name|length }}", "ANNA MAY Anna May 8"),
        ("{{ 'x'|replace('x', name)|capitalize }}", "Anna may"),
        ("{{ ' a '|trim }}{{ name|truncate(6) }}", "aanna…"),
        ("{{ list|join(', ') }}:{{ list|first }}{{ list|last }}{{ list[1] }}", "3, 4, 5:354"),
        ("{{ points|int + 1 }} {{ points|float / 2 }} {{ 2.345|round(1) }} {{ 2.6|round }}", "13 6.0 2.3 3"),
        ("{{ day|date('%d.%m.%y') }}", "31.05.26"),
        ("{{ name|urlencode }} {{ '&'|e }}", "anna%20may &"),
        ("{% for n in list if n > 3 %}{{ loop.index }}{{ n }}{% if loop.last %}.{% endif %}{% endfor %}", "1425."),
        ("{{ {'de': 'Hallo'}[lang]|default('Hi') }}", "Hallo"),
        ("{{ 'a' if points|int > 3 and lang in ['de', 'fr'] else 'b' }}{{ name[:1] }}", "aa"),
        ("{% if name is defined and nick is not defined %}ok{% endif %}", "ok"),
    ],
)  # fmt: skip
def test_the_language_can(source: str, expected: str) -> None:
    values = {"name": "anna may", "list": [3, 4, 5], "points": "12", "day": "2026-05-31", "lang": "de"}
    assert render_text(source, **values) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{{ x.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ x|attr('__class__') }}",
        "{{ self }}",
        "{{ __builtins__ }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ x() }}",
        "{{ name.upper() }}",
        "{{ '%s'.format(1) }}",
        "{{ 'a' * 10 }}",
        "{{ 10 ** 9 }}",
        "{{ 1000000000000000 }}",
        "{{ '%1000000000d'|format(1) }}",
        "{{ 'a'|center(1000000000) }}",
        "{% for a in range(10**9) %}{% endfor %}",
        "{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in x recursive %}{{ loop(a) }}{% endfor %}",
        "{% for a in [" + "1," * 101 + "] %}{% endfor %}",
        "{% set x = 1 %}",
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{% import 'x' as y %}",
        "{% from 'x' import y %}",
        "{% macro m() %}{% endmacro %}",
        "{% call x() %}{% endcall %}",
        "{% block b %}{% endblock %}",
        "{% filter upper %}{% endfilter %}",
        "{% with a = 1 %}{% endwith %}",
        "{% raw %}x",
        "{{ x|safe }}",
        "{{ x|default(*x) }}",
        "{{ x|upper(1, 2) }}",
        "{{ x is callable }}",
        "{{ " + "x ~ " * 200 + "x }}",
        "{{ x }}" * 20_001,
        "{{ " + "(" * 100_000 + " }}",
        "{{ " + "9" * 5_000 + " }}",
        "{% if x %}" * 30 + "{% endif %}" * 30,
        "{{ x",
        "{% if x %}",
        "{{ x if }}",
        "x" * (MAX_PART_CHARACTERS + 1),
        "a\0b",
        "a\ud800b",
    ],
)  # fmt: skip
def test_what_is_not_on_the_list_is_refused_when_saved(source: str) -> None:
    assert all(message.endswith((".", "}}.")) for message in problems_of(source))


def test_each_wrong_line_is_named() -> None:
    assert problems_of("ok\n{{ x|nope }}\n\n{{ x() }}") == [
        next(m for m in problems_of("ok\n{{ x|nope }}") if m.startswith("Line 2: There is no filter “nope”")),
        "Line 4: Calls are not allowed; use a filter, as in {{ name|upper }}.",
    ]


def test_problems_name_the_part_that_they_stand_in() -> None:
    with pytest.raises(Invalid) as caught:
        compile_content("{{ a", "{{ b() }}", "{% c %}")
    assert [problem.field for problem in caught.value.problems] == ["subject", "html", "text"]


def test_content_without_any_part_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        compile_content("s", " \n", "")
    assert caught.value.problems[0].field == "html"


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ("{% for a in x %}{% for b in x %}{{ a }}{% endfor %}{% endfor %}", {"x": list(range(1_000))}),
        ("{{ x|replace('a', y)|replace('a', y) }}", {"x": "a" * 1000, "y": "a" * 1000}),
        ("{{ x|join(y) }}", {"x": ["a"] * 1000, "y": "a" * 1000}),
        ("{{ x }}{{ x }}", {"x": "a" * 600_000}),
        ("{% for a in x %}{% for b in x %}{% endfor %}{% endfor %}", {"x": list(range(1_000))}),
        ("{{ x * y }}", {"x": "a", "y": 2}),
        ("{{ x % y }}", {"x": "%3d", "y": 1}),
        ("{{ x|round(100) }}", {"x": 1.5}),
        ("{{ x|date('%1000000000d') }}", {"x": "2026-05-31"}),
        ("{{ x / 0 }}", {"x": 1}),
        ("{{ x > 1 }}", {"x": "1"}),
        ("{{ x[:2] }}", {"x": {"a": 1}}),
        ("{% for a in x %}{% endfor %}", {"x": "text"}),
        ("{{ x|date }}", {"x": "yesterday"}),
    ],
)
def test_what_goes_wrong_for_one_contact_is_a_render_error(source: str, values: dict[str, object]) -> None:
    with pytest.raises(RenderError) as caught:
        render_text(source, **values)
    assert caught.value.part == "text"
    assert caught.value.variable is None


def test_no_python_attribute_can_be_reached_from_a_value() -> None:
    for source in ("{{ x.upper }}", "{{ x['upper'] }}", "{{ x[y] }}", "{{ d.items }}", "{{ d.keys }}"):
        with pytest.raises(RenderError):
            render_text(source, x="text", y="__class__", d={"a": 1})


@given(st.text())
def test_a_subject_is_one_line_for_any_name(name: str) -> None:
    subject = compile_content("Hi {{ name }}!", "", "t").render({"name": name}).subject
    assert not any(ord(character) < 32 or character in "\x7f\x85\u2028\u2029" for character in subject)
    assert subject.startswith("Hi")


@given(st.text())
def test_no_value_becomes_markup(value: str) -> None:
    rendered = compile_content("s", '<p title="{{ x }}">{{ x ~ x }}{{ x|upper|e }}</p>', "t").render({"x": value}).html
    assert rendered is not None
    assert rendered.count("<") == 2
    assert rendered.count('"') == 2
    assert rendered.startswith(
        f'<p title="{markup.escape(value).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")}">'
    )


@given(st.text(alphabet="{}%#-+ x|.()[]'\"~\n0a", max_size=60))
def test_any_source_either_compiles_or_is_refused_cleanly(source: str) -> None:
    with suppress(Invalid):
        compile_content(source, source, source).render({"x": "1", "a": "2"})
