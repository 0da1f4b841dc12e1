# Everything happens in a virtual environment of its own ($(VENV)); nothing global is touched.
# `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# A Python to use instead of the first one found that is 3.10 or newer, for example
# PYTHON=python3.12. It then gets an environment of its own.
PYTHON ?=
VENV ?= .venv$(if $(PYTHON),-$(notdir $(PYTHON)))

# Arguments for pytest, for example ARGS="-k window -x".
ARGS ?=
# Processes that the tests run in.
JOBS ?= 2
# Seconds that `make fuzz` goes on, and examples for each property in one of its rounds.
FUZZ_SECONDS ?= 300
FUZZ_EXAMPLES ?= 1000
# A revision of git for `make bench` to compare with.
COMPARE ?=
# When `make soak` ends: after so many kills, or after so many seconds (0: only by kills).
SOAK_KILLS ?= 300
SOAK_SECONDS ?= 0
SOAK_GROUPS ?= 2000
# Seconds after which `make demo` ends by itself; empty: it goes on until Ctrl-C.
DEMO_SECONDS ?=
export DEMO_SECONDS

PY := $(VENV)/bin/python
READY := $(VENV)/.ready
COMPILED := $(VENV)-compiled
PYTEST := $(PY) -m pytest
# "loadgroup": the interop tests stay in one process, one after the other (tests/conftest.py).
PARALLEL := -n $(JOBS) --dist loadgroup

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# What can make environments: Debian's python3 alone cannot (no ensurepip), so each one is tried.
PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.10 python)
define FIND_PYTHON
for candidate in $(PYTHONS); do \
    if "$$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 10))' \
        >/dev/null 2>&1; then echo "$$candidate"; exit 0; fi; \
done; \
echo "mm2ss needs Python 3.10 or newer that can make virtual environments" \
    "(on Debian: apt-get install python3-venv); tried: $(PYTHONS)." >&2; \
exit 1
endef

.PHONY: venv
venv: $(READY) ## make the virtual environment with all pinned tools

$(READY): requirements/test.txt setup.cfg pyproject.toml
	@if ! $(PY) -m pip --version >/dev/null 2>&1; then \
	    python="$$($(FIND_PYTHON))"; \
	    echo "making $(VENV) with $$("$$python" --version)"; \
	    "$$python" -m venv --clear $(VENV); \
	fi
	@echo '*' > $(VENV)/.gitignore
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements/test.txt
	rm -rf build
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: demo
demo: $(READY) ## the relay, a built-in RTU and two masters on the screen (DEMO_SECONDS=10: ends by itself)
	$(PY) -m mm2ss.simulator.demo

.PHONY: test
test: $(READY) ## unit tests and the short interop tests, with branch coverage (ARGS=... for pytest)
	$(PYTEST) $(PARALLEL) -m "not bench and (not interop or smoke)" --cov $(ARGS)

# What is tested is a wheel: it is built from the sdist, installed, and unpacked over the sdist's
# tree, in which the tests then run. All of it stands in $(COMPILED).
.PHONY: test-compiled
test-compiled: $(READY) ## the same tests with the core compiled (docs/compiled.md); needs a C compiler
	$(PY) -m venv $(COMPILED)
	echo '*' > $(COMPILED)/.gitignore
	$(COMPILED)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/test.txt
	rm -rf $(COMPILED)/dist $(COMPILED)/tree
	mkdir $(COMPILED)/tree
	$(PY) -m build --no-isolation --sdist --outdir $(COMPILED)/dist . >$(COMPILED)/build.log
	tar xf $(COMPILED)/dist/*.tar.gz --strip-components 1 -C $(COMPILED)/tree
	cd $(COMPILED)/tree && MM2SS_COMPILE=1 ../bin/python -m pip wheel --quiet \
	    --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir ../dist .
	$(COMPILED)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	    --force-reinstall $(COMPILED)/dist/*.whl
	rm -rf $(COMPILED)/tree/build
	$(COMPILED)/bin/python -m zipfile -e $(COMPILED)/dist/*.whl $(COMPILED)/tree
	cd $(COMPILED)/tree && MM2SS_CORE=compiled ../bin/python -m pytest $(PARALLEL) \
	    -m "not bench and (not interop or smoke)" $(ARGS)

.PHONY: lint
lint: $(READY) ## ruff, mypy strict (for Windows: what is installed), import rules
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy --platform linux
	$(PY) -m mypy --platform win32 --cache-dir .mypy_cache/win32 mm2ss
	$(PYTEST) -q tests/test_layers.py

.PHONY: format
format: $(READY) ## put the code into ruff's form
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

.PHONY: interop
interop: $(READY) ## the relay as a real process between real IEC 60870-5-104 peers
	$(PYTEST) tests/interop $(ARGS)

.PHONY: bench
bench: $(READY) ## how fast it is, in less than 15 minutes (ARGS=... picks, COMPARE=revision)
	$(PY) -m tests.bench $(ARGS) $(if $(COMPARE),--compare $(COMPARE))

.PHONY: soak
soak: $(READY) ## kill the relay SOAK_KILLS times while masters and lines fail: no event may be lost
	$(PY) -m tests.soak --kills $(SOAK_KILLS) --seconds $(SOAK_SECONDS) $(ARGS)

.PHONY: soak-groups
soak-groups: $(READY) ## SOAK_GROUPS groups lose their only master in the same second
	$(PY) -m tests.soak.groups --groups $(SOAK_GROUPS) $(ARGS)

# Each round takes a new seed; a failure prints the example and the seed that found it.
.PHONY: fuzz
fuzz: $(READY) ## the hypothesis tests, again and again for FUZZ_SECONDS with new seeds
	@end=$$(( SECONDS + $(FUZZ_SECONDS) )); round=0; \
	while (( round == 0 || SECONDS < end )); do \
	    round=$$(( round + 1 )); seed=$$RANDOM$$RANDOM; echo "round $$round, seed $$seed"; \
	    HYPOTHESIS_PROFILE=fuzz FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(PYTEST) -q $(PARALLEL) \
	        -m "hypothesis and not interop" --hypothesis-seed=$$seed $(ARGS); \
	done; echo "$$round rounds without a finding"

# From the sdist, which is packed from a tree without build/: setuptools would otherwise ship
# modules that lie there from an earlier build though they are deleted in the source.
.PHONY: wheel
wheel: $(READY) ## dist/: sdist and wheel
	rm -rf build dist mm2ss.egg-info
	$(PY) -m build --no-isolation --outdir dist .

.PHONY: clean
clean: ## remove what the other targets made
	rm -rf .venv .venv-* build dist *.egg-info .coverage* htmlcov _trial_temp \
	    bench-results .mypy_cache .ruff_cache .pytest_cache .hypothesis twisted/plugins/dropin.cache
	find mm2ss tests twisted -name __pycache__ -prune -exec rm -rf {} +
