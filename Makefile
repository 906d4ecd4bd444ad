# Everything a newcomer needs is `make run`; everything CI needs is `make test`.
# The environment is .venv in the checkout, made from requirements.lock when that has changed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
READY := .venv/.ready
# Variables of .env, if there is one (see .env.example).
SETTINGS := if [ -f .env ]; then set -a; . ./.env; set +a; fi;
OURS := actors serve_app cluster benchmarks tests
ALL_TESTS := -m "not long" -n 2 --no-loadscope-reorder

.PHONY: help run demo test coverage lint audit sbom check bench long fuzz clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: $(READY) ## start everything, play the loop once, stay up until Ctrl-C
	@$(SETTINGS) exec $(BIN)/python -m cluster.demo --once --stay --port $(PORT)

demo: $(READY) ## play the loop twice; ends with 0 only if the second alert finds the first review
	@$(SETTINGS) exec $(BIN)/python -m cluster.demo --port $(PORT)

test: $(READY) ## all tests, on real PostgreSQL, Valkey and Ray
	$(BIN)/pytest $(ALL_TESTS) --durations=20

# Apart from `test`: counting makes the unit tests take twice as long.
coverage: $(READY) ## the same tests, and which lines of actors/ they run; 95 % at least
	$(BIN)/pytest $(ALL_TESTS) --cov --cov-report=term:skip-covered --cov-fail-under=95

lint: $(READY) ## format, lint, types, import contracts
	$(BIN)/ruff format --check $(OURS)
	$(BIN)/ruff check $(OURS)
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: $(READY) ## what our code and our libraries must not be: bandit, floors of versions
	$(BIN)/bandit -q -r actors serve_app cluster -c pyproject.toml --severity-level medium
	$(BIN)/python -m cluster.floors

# In an environment of its own: what it brings makes every start of Ray four seconds slower.
sbom: $(READY) ## what we are made of, from the lock, and its licences; in build/
	@mkdir -p build
	$(BIN)/uv venv --quiet --clear build/sbom-env
	$(BIN)/uv pip sync --quiet --python build/sbom-env/bin/python requirements-sbom.lock
	build/sbom-env/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml \
	  --output-reproducible --output-format JSON --output-file build/sbom.cdx.json
	$(BIN)/python -m cluster.licences --lock requirements.lock > build/licences.csv

check: lint ## what a commit must pass: lint and unit tests
	$(BIN)/pytest tests/unit --cov --cov-report=term:skip-covered

bench: $(READY) ## every benchmark, quickly; results in benchmarks/results
	@mkdir -p benchmarks/results
	@failed=0; for file in $$(grep -l '__main__' benchmarks/*.py); do \
	  name=$$(basename $$file .py); \
	  echo "== $$name"; \
	  $(BIN)/python -m benchmarks.$$name --quick --json benchmarks/results/$$name.json || failed=1; \
	done; exit $$failed

long: $(READY) ## the tests that take many minutes
	$(BIN)/pytest -m long --timeout=5400

fuzz: $(READY) ## 50,000 cases of Schemathesis against the whole API; goes on where it was stopped
	$(BIN)/python -m tests.security.fuzz --cases 50000

clean: ## remove the environment and all caches; the stack's data in .guild stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache \
	  .coverage build dist *.egg-info benchmarks/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Byte-compiled once, here: Ray starts a dozen interpreters, and each would compile what it imports.
$(READY): requirements.lock pyproject.toml
	@command -v git >/dev/null || { echo "git is needed: install it first" >&2; exit 1; }
	@[ "$$(uname -sm)" = "Linux x86_64" ] || { \
	  echo "Linux x86-64 is needed, this is $$(uname -sm): use a virtual machine or a container" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1):" \
	    "name another with make PYTHON=python3.11" >&2; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv || { \
	  echo "python's venv module does not work: on Debian, install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python --editable .
	@touch $@
