# Every target does its own set-up: python3 >= 3.11 with venv, and make, are all it takes.

PYTHON ?= python3
PY = .venv/bin/python
UV = .venv/bin/uv --system-certs --cache-dir .venv/cache
CLI = $(PY) -m email_campaign.local.cli

.PHONY: help run test check faults fuzz browser tour bench fresh reset clean lock

help:
	@echo 'make run      the whole service, with its own Postgres and Valkey; Ctrl-C stops it'
	@echo '             DEMO=crash kills a worker and the broker in mid-send and reckons up'
	@echo 'make test     every test but the long ones'
	@echo 'make check    format, lint, types, floors'
	@echo 'make faults   every fault test, the long ones too, with a table of what was lost, doubled and unknown;'
	@echo '              MUTATE=1 takes out one guard after the other instead, and sees its test fail'
	@echo 'make fuzz     the API against its own description with many requests, EXAMPLES=500 an operation, new ones each time'
	@echo 'make browser  the browser tests alone'
	@echo 'make tour     takes the pictures of docs/tour.md anew'
	@echo 'make bench    the benchmarks'
	@echo 'make fresh    clones into strange places and runs there'
	@echo 'make reset    delete the data of make run, after asking'
	@echo 'make clean    delete .venv and caches; data stay'
	@echo 'make lock     renew the lock files from pyproject.toml'

run: .venv/.for-run
	@exec $(CLI) run

reset: .venv/.for-run
	@exec $(CLI) reset

test: .venv/.for-work
	$(PY) -m pytest -m 'not faults and not tour' -n 2 --dist loadfile

faults: .venv/.for-work
	$(if $(MUTATE),$(PY) -m tests.faults.mutate,$(PY) -m pytest tests/faults -p tests.faults.table)

fuzz: .venv/.for-work
	FUZZ_EXAMPLES=$(or $(EXAMPLES),500) $(PY) -m pytest tests/faults/test_f28_openapi.py -n 2 --dist load

browser: .venv/.for-work
	$(PY) -m pytest -m browser

tour: .venv/.for-work
	PICTURES=1 $(PY) -m pytest tests/browser/test_tour.py

check: .venv/.for-work
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports

bench: .venv/.for-work .venv-bench/.done
	$(PY) -m bench

fresh:
	tests/fresh.sh

lock: .venv/.for-work
	echo 'uv==$(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements-uv.txt)' | \
	  $(UV) pip compile -q --universal --generate-hashes --no-header --no-annotate - -o requirements-uv.txt
	$(UV) pip compile -q --universal --generate-hashes --no-header --no-annotate pyproject.toml -o requirements.txt
	$(UV) pip compile -q --universal --generate-hashes --no-header --no-annotate -c requirements.txt --group dev \
	  pyproject.toml -o requirements-dev.txt
	$(UV) pip compile -q --universal --generate-hashes --no-header --no-annotate --group bench \
	  -o requirements-bench.txt

clean:
	rm -rf .venv .venv-bench build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/.for-run: LOCK = requirements.txt
.venv/.for-work: LOCK = requirements-dev.txt
.venv/.for-run: requirements.txt
.venv/.for-work: requirements-dev.txt

# The stamp is written last, so an interrupted set-up is done again. uv installs from the lock in seconds; where it
# cannot (a mirror that only pip is told about), pip does the same more slowly.
.venv/.for-run .venv/.for-work: requirements-uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Python 3.11 or later is needed; install one, or name it: make $(MAKECMDGOALS) PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo 'This Python lacks venv; on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || \
	  { echo 'Setting up .venv; this happens once.'; $(PYTHON) -m venv --clear .venv; }
	@$(PY) -m pip install -q --disable-pip-version-check --no-cache-dir --require-hashes -r requirements-uv.txt
	@$(UV) pip install -q --python $(PY) --require-hashes -r $(LOCK) || \
	  $(PY) -m pip install -q --disable-pip-version-check --require-hashes -r $(LOCK)
	@$(UV) pip install -q --python $(PY) --offline --no-deps --editable .
	@touch $@

# The peers that the benchmarks measure: away from the product's dependencies.
.venv-bench/.done: requirements-bench.txt .venv/.for-work
	@$(PYTHON) -m venv --clear .venv-bench
	@$(UV) pip install -q --python .venv-bench/bin/python --require-hashes -r $< || \
	  .venv-bench/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r $<
	@touch $@
