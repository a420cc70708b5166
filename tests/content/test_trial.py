"""Content is tried out in a process of its own, and what comes back is what a worker would say."""

import contextlib
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from email_campaign.content.language import Rendered, RenderError
from email_campaign.content.trial import try_out, try_render
from email_campaign.errors import Invalid

ROOT = Path(__file__).parents[2]


def test_good_content_passes() -> None:
    try_out("Hi {{ name }}", "<p>{{ name }}</p>", "")


def test_the_trial_says_what_the_worker_will_say() -> None:
    mail = try_render("Hi {{ name }}", "<p>{{ name }}</p>", "", {"name": "Jürgen & 漢"})
    assert mail == Rendered("Hi Jürgen & 漢", "<p>Jürgen &amp; 漢</p>", "Jürgen & 漢")


def test_problems_come_back_with_field_and_line() -> None:
    with pytest.raises(Invalid) as caught:
        try_out("{{ a", "ok\n{{ b() }}", "")
    assert [problem.field for problem in caught.value.problems] == ["subject", "html"]
    assert caught.value.problems[1].message.startswith("Line 2: Calls")


def test_a_missing_variable_comes_back_with_its_name() -> None:
    with pytest.raises(RenderError) as caught:
        try_render("s", "a\n{{ city }}", "", {})
    assert (caught.value.part, caught.value.line, caught.value.variable) == ("html", 2, "city")


def test_a_sample_that_does_not_fit_is_no_mistake() -> None:
    try_out("s", "{% for x in items %}{{ x }}{% endfor %}{{ points + 1 }}", "")


@pytest.mark.parametrize("source", ["<a " * 170_000, "{{ " + "x~" * 250_000 + "x }}", "{{ x }}" * 70_000])
def test_the_largest_templates_cost_little_processor_time_whether_they_are_refused_or_not(source: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with contextlib.suppress(Invalid):  # a fast machine is through with some of them within their second
        try_out("s", source, "")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < 3.0


def test_the_child_imports_neither_database_nor_network() -> None:
    code = "import sys, json, email_campaign.content.trial_child; json.dump(sorted(sys.modules), sys.stdout)"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT))
    assert not {"sqlalchemy", "psycopg", "pydantic", "socket", "redis", "email_campaign.settings"} & set(loaded)
