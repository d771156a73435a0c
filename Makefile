# Every command has one definition, here; CI calls the same.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
# uv trusts the machine's certificates, as pip does.
export UV_NATIVE_TLS := 1
# The contract must stay compatible with this revision.
AGAINST ?= main

PROTOS := $(shell find proto -name '*.proto')

.PHONY: help setup lock stubs check format test unit integration demo up down clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.installed $(VENV)/.stubs ## Install everything into .venv

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: install Python 3.11 or later, or set PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: set PYTHON=/path/to/a/newer/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing the locked packages into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
	  -r <(sed -n '/^uv==/,/^[^ ]/{/^uv==/p;/^ /p}' requirements.lock)
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.stubs
	@touch $@

$(VENV)/.stubs: $(PROTOS) proto/stubs.py proto/hatch_build.py proto/pyproject.toml $(VENV)/.installed
	@echo "Generating the stubs of the contract"
	@PATH="$(abspath $(BIN)):$$PATH" $(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation \
	  --reinstall ./proto
	@touch $@

stubs: $(VENV)/.stubs ## Generate the stubs from proto/

lock: | $(BIN)/python ## Lock the newest allowed versions into requirements.lock
	@test -x $(UV) || $(BIN)/python -m pip install --quiet uv
	@$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-package clarion --no-emit-package clarion-stubs --custom-compile-command 'make lock' \
	  --output-file requirements.lock requirements.in

check: setup build/googleapis ## ruff, mypy, import-linter, buf
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	./proto/breaking.sh $(BIN)/buf $(AGAINST)

build/googleapis: $(VENV)/.installed
	@mkdir -p $@/google
	@cd $$($(BIN)/python -c 'import google.api; print(next(iter(google.api.__path__)))')/.. && \
	  find api rpc -name '*.proto' -exec cp --parents -t $(CURDIR)/$@/google {} +

format: setup ## Format the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

demo: setup ## Send 1,000 notifications through a stack of its own, and prove that they arrived
	@$(BIN)/clarion demo

up: setup ## Start the whole system and leave it running
	@$(BIN)/clarion up --detach

down: ## End what `make up` started
	@test ! -x $(BIN)/clarion || $(BIN)/clarion down

unit: setup ## Run the tests that need nothing but Python
	$(BIN)/python -m pytest tests/unit

integration: setup ## Run the tests that need real engines
	$(BIN)/python -m pytest tests/integration

test: setup ## Run every test but those of the mesh and of failures; measure coverage in all processes
	@rm -rf build/coverage && mkdir -p build/coverage
	$(BIN)/coverage run -m pytest $(addprefix tests/,unit contract integration e2e)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

clean: down ## Remove what was installed, built and stored
	rm -rf $(VENV) build .clarion
