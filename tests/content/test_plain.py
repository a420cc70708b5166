"""The text that is made from HTML says what the HTML says, whether it was made before or after rendering."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_campaign.content import plain
from email_campaign.content.language import compile_content


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<h1>Big</h1><p>One\n two</p><p>Three<br>four</p>", "Big\n\nOne two\n\nThree\nfour"),
        ("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul><ol><li>x<li>y</ol>", "- a\n- b\n  - c\n\n1. x\n2. y"),
        ('<p>See <a href="https://x.test/?a=1&amp;b">a shop</a>, now</p>', "See a shop (https://x.test/?a=1&b), now"),
        ('<a href="https://x.test">https://x.test</a> <a href="mailto:a@b.c">a@b.c</a>', "https://x.test a@b.c"),
        ('<a href="https://x.test"><img src="i.png" alt="Our &lt;shop&gt;"></a>', "Our <shop> (https://x.test)"),
        ('<a href="https://x.test"><img src="i.png"></a>', "https://x.test"),
        ('<a href="#top">up</a>', "up"),
        ('<div style="display:none">pre<div>view</div></div><p>Hi</p>', "Hi"),
        ("<head><title>T</title><style>p > a {}</style></head><body>Hi<script>a < b</script></body>", "Hi"),
        ("<!-- no --><!--[if mso]><p>no</p><![endif]-->Hi &copy; &#228; &unknown;", "Hi © ä &unknown;"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ("a < b <b>c</b> <3", "a < b c <3"),
        ("<li><p>a</p></li><li><p>b</p></li>", "- a\n\n- b"),
        ("unclosed <a href='https://x.test'>link", "unclosed link (https://x.test)"),
        ("Hi <a href='https://x.test'>link<div hidden>never closed", "Hi link (https://x.test)"),
        ("", ""),
    ],
)  # fmt: skip
def test_html_becomes_text(source: str, expected: str) -> None:
    assert plain.from_html(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "<p>Hello {% if x %}dear {{ name }}{% else %}you{% endif %} there</p>",
        "X<br>{% if x %}A{% else %}B{% endif %} <p>c</p>",
        "X{% if x %}<p>A</p>{% endif %}Y",
        "{% if x %}<p>A</p>{% endif %}<p>B</p>{% if x %}<p>C</p>{% endif %}",
        "<ul>\n{% for i in items %}\n  <li>{{ i }}</li>\n{% endfor %}\n</ul><p>end</p>",
        "<ol>{% for i in items %}<li>{{ i }}</li>{% endfor %}</ol>",
        "<ul>{% for i in items %}<li>{% if x %}<p>{{ i }}</p>{% else %}no{% endif %}</li>{% endfor %}</ul>",
        "{% if x %}<a href='https://a.test'>{% else %}<a href='https://b.test'>{% endif %}go</a>",
        "<a href='https://a.test/{{ name }}'>{% if x %}A{% else %}B{% endif %}</a> now",
        "<a href='https://a.test/'>{% if x %}{{ name }}{% endif %}</a> now",
        "<a href='{{ name }}'>{{ name }}</a>, <a href='{{ name }}'>{{ x }}</a>",
        "<p {% if x %}hidden{% endif %}>A</p><p>B</p>",
        "<div style='display:none'>{% if x %}<b>{{ name }}</b>{% endif %}</div><p>B</p>",
        "{% if x %}<div style='display:none'>{% endif %}secret{% if x %}</div>{% endif %}",
        "<!-- {% if x %} -->A<!-- {% endif %} -->B",
        "<style>{% if x %}a{% endif %}</style>&#123;&#123; name }} &#123;% if %} {% raw %}{{ {% endraw %} { {{ name }}",
        "&#123;&#123; name }}",
        "a {{- name -}} b {% if x -%} c {%- endif %} d",
        "{% for i in items %}{% for j in items %}{{ i }}{{ j }}<br>{% endfor %}{% endfor %}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("x", [True, False])
def test_text_made_from_the_template_equals_text_made_from_the_result(source: str, x: bool) -> None:
    mail = compile_content("s", source, "").render({"x": x, "name": "Anna", "items": [1, 2, 3]})
    assert mail.html is not None
    assert mail.text == plain.from_html(mail.html)


def test_text_is_made_from_the_template_where_that_is_exact() -> None:
    assert plain.derive("<p>{{ a }}</p><p>{% if b %}c{% endif %}</p>") is not None
    assert plain.derive("<p {% if b %}hidden{% endif %}>a</p>") is None
    assert plain.derive("<ol>{% for a in b %}<li>c{% endfor %}</ol>") is None


def test_values_are_not_escaped_in_the_text_that_is_made() -> None:
    mail = compile_content("s", "<p>{{ name }} {{ name|e }}</p>", "").render({"name": "A & <B>"})
    assert mail.text == "A & <B> A & <B>"


PIECES = [
    "<p>", "</p>", "<a href='https://x.test'>", "</a>", "<ul>", "</ul>", "<ol>", "</ol>", "<li>", "</li>",
    "<br>", " ", "\n", "word", "&amp;", "<div hidden>", "</div>", "<b>", "</b>", "<pre>", "</pre>", "<td>",
    "<img alt='pic'>", "<hr>", "<!--", "-->", "{{ name }}", "<", "{ ", "é",
]  # fmt: skip


@st.composite
def templates(draw: st.DrawFn, depth: int = 2) -> str:
    parts = st.sampled_from(PIECES)
    if depth:
        inner = templates(depth=depth - 1)
        parts |= st.builds("{{% if x %}}{}{{% else %}}{}{{% endif %}}".format, inner, inner)
        parts |= st.builds("{{% for i in items %}}{}{{% endfor %}}".format, inner)
    return "".join(draw(st.lists(parts, max_size=8)))


@given(templates(), st.booleans())
def test_both_ways_give_the_same_text_for_any_template(source: str, x: bool) -> None:
    if not source.strip():
        return
    mail = compile_content("s", source, "").render({"x": x, "name": "Anna", "items": [1, 2]})
    assert mail.html is not None
    assert " ".join(mail.text.split()) == " ".join(plain.from_html(mail.html).split())
