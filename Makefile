# One command for each thing a person does here. `make help` lists them.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DURATION ?=
FAULT ?=
WORKERS ?=
SEED ?=
SPEED ?=

JOBS ?= 3
RUNS ?= 7
TESTS ?=

.PHONY: help demo test bench chaos lint types architecture check format render clean system

help: ## Show what can be done.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  demo takes DURATION=seconds, FAULT=name, WORKERS=number, SEED=number and SPEED=factor; FAULT='?' lists the faults."

demo: $(VENV)/.demo system ## Start midas under botmetry: servers, bot, workers, Prometheus, Alertmanager.
	@exec $(BIN)/midas demo $(if $(DURATION),--duration='$(DURATION)') $(if $(FAULT),--fault='$(FAULT)') \
	  $(if $(WORKERS),--workers='$(WORKERS)') $(if $(SEED),--seed='$(SEED)') $(if $(SPEED),--speed='$(SPEED)')

test: $(VENV)/.dev system ## Run all tests (JOBS=3 at once, TESTS=path for some).
	@$(BIN)/pytest -n $(JOBS) --dist loadfile --max-worker-restart 0 $(if $(TESTS),$(TESTS),--cov --cov-report=term:skip-covered --cov-fail-under=85)

bench: $(VENV)/.bench ## Measure every claim beside its peers (RUNS=7 interleaved runs, ONLY=text to choose).
	@cd benchmarks && ../$(BIN)/python run.py --runs $(RUNS) $(if $(ONLY),--only '$(ONLY)')

chaos: $(VENV)/.demo system ## Kill workers, orchestrators and Redis while they work, and count what is lost (SEED=number).
	@$(BIN)/python tests/chaos/run.py $(if $(SEED),--seed=$(SEED))

lint: $(VENV)/.dev ## Check style and formatting.
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --quiet || { $(BIN)/ruff format --diff; exit 1; }

types: $(VENV)/.dev ## Check types: mypy strict, and pyright for what users write.
	@$(BIN)/mypy
	@$(BIN)/basedpyright --level error

architecture: $(VENV)/.dev ## Check that layers import downwards only.
	@$(BIN)/lint-imports --no-cache

check: $(VENV)/.dev system ## Check rules, dashboards and configurations against the catalogue.
	@$(BIN)/botmetry check
	@$(BIN)/botmetry render --check

format: $(VENV)/.dev ## Format the code.
	@$(BIN)/ruff check --fix --quiet; $(BIN)/ruff format

render: $(VENV)/.dev ## Write the generated dashboards and rules.
	@$(BIN)/botmetry render

system: $(VENV)/.demo
	@$(BIN)/midas setup

clean: ## Remove the virtual environment, caches and the demo's data.
	rm -rf $(VENV) .demo .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage .coverage.* .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "botmetry needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Set PYTHON=…" >&2; exit 2; }
	@echo "· virtual environment in $(VENV)"
	@if command -v uv >/dev/null; then uv venv --quiet --python $(PYTHON) $(VENV); else $(PYTHON) -m venv $(VENV) || \
	  { echo "python3-venv is missing: apt-get install python3-venv" >&2; rm -rf $(VENV); exit 2; }; fi

# A stamp an extra: what the demo needs comes first and alone, because somebody waits for it.
$(VENV)/.bench $(VENV)/.demo $(VENV)/.dev: $(VENV)/.%: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "· Python packages for $* (a minute or two the first time)"
	@if command -v uv >/dev/null; then VIRTUAL_ENV=$(VENV) uv pip install --quiet --compile-bytecode -c constraints.txt -e '.[$*]'; \
	  else $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]'; fi
	@touch $@
