"""F26: hostile templates are refused when they are saved, with a message that names the place, at the cost of at most a
second of processor time and 256 MB, in a process of their own."""

import json
import resource
import signal
import subprocess
import sys
from typing import Any

import pytest

from email_campaign.content.trial_child import CPU_SECONDS, MEMORY_BYTES
from email_campaign.local.places import CHECKOUT

LOOP = "{{% for {0} in x %}}"
HOSTILE = {
    "a loop over a billion": "{% for a in range(10**9) %}{% endfor %}",
    "loops in loops": "".join(LOOP.format(f"a{n}") for n in range(9)) + "{{ x }}" + "{% endfor %}" * 9,
    "a loop of its own result": "{% for a in x recursive %}{{ loop(x) }}{% endfor %}",
    "a billion characters": "{{ 'a' * 10**9 }}",
    "a billion blanks": "{{ 'a'|center(1000000000) }}",
    "a billion zeros": "{{ '%1000000000d'|format(1) }}",
    "a power of powers": "{{ 9**9**9**9 }}",
    "a walk to every class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "a walk by index": "{{ x['__class__']['__init__']['__globals__'] }}",
    "a walk by filter": "{{ x|attr('__class__') }}",
    "a walk through Jinja": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "a call": "{{ x.y() }}",
    "an import": "{% import 'os' as os %}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "brackets without end": "{{ " + "(" * 500_000,
    "conditions without end": "{% if x %}" * 50_000,
    "a sum without end": "{{ " + "x~" * 250_000 + "x }}",
    "a number without end": "{{ " + "9" * 500_000 + " }}",
}
HARMLESS = "<p>{{ name }}</p>"

# In a process that has no other children than those that try out; the memory is the most that any of them took.
SAVE = """
import json, resource, sys
from email_campaign.content.templates import TemplateDraft, check
from email_campaign.errors import Invalid
answers, before = [], 0.0
for source in json.load(sys.stdin):
    problems = []
    try:
        check(TemplateDraft("Spring", "Hello", source))
    except Invalid as error:
        problems = [(problem.field, problem.message) for problem in error.problems]
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = spent.ru_utime + spent.ru_stime
    answers.append({"problems": problems, "cpu": seconds - before, "kilobytes": spent.ru_maxrss})
    before = seconds
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def saved() -> dict[str, Any]:
    """What saving each of them said, and what it took."""
    sources = {"harmless": HARMLESS, **HOSTILE}
    request = json.dumps(list(sources.values())).encode()
    done = subprocess.run([sys.executable, "-c", SAVE], cwd=CHECKOUT, input=request, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2_000:]
    return dict(zip(sources, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("what", HOSTILE)
def test_f26_a_hostile_template_is_refused_when_saved_and_costs_little(what: str, saved: dict[str, Any]) -> None:
    answer, start_seconds = saved[what], saved["harmless"]["cpu"]
    assert saved["harmless"]["problems"] == []
    assert {field for field, _ in answer["problems"]} == {"html"}, answer
    assert all("Traceback" not in words and words.rstrip("}").endswith(".") for _, words in answer["problems"])
    assert answer["cpu"] < CPU_SECONDS + 2 * start_seconds + 0.3
    assert answer["kilobytes"] * 1024 < MEMORY_BYTES


@pytest.mark.parametrize(
    ("hostile", "ending"),
    [
        ("while True: pass", -signal.SIGPROF),
        ("[n for n in range(10**12)]", 1),
        ("'a' * 10**9", 1),
    ],
)
def test_f26_what_the_grammar_would_let_through_meets_the_limits(hostile: str, ending: int) -> None:
    code = f"from email_campaign.content import trial_child as t\nt._limit()\n{hostile}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, timeout=60, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode in {ending, -signal.SIGPROF}
    assert ending == 1 or done.returncode == ending
    assert after.ru_utime - before.ru_utime < CPU_SECONDS + 1.0
