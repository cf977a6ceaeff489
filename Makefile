# Everything a person or CI does with this repository. `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Where it is set, each of the many processes that tests and demo start compiles the program anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
FUZZ_STAMP := $(VENV)/.fuzz
JAVA_STAMP := $(VENV)/.java
PATHS := app tests
JAVA_PACKAGES := openjdk-17-jre-headless maven
# Each process of the tests starts a Kafka and a Redis of its own. One takes over what another has
# left, from the end: so the long tests, which come first, do not run beside each other.
TEST_PROCESSES := 2
FUZZ_SECONDS ?= 600

.PHONY: help setup lock fmt docs check test test-long fuzz-api fuzz-pql bench demo clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) $(JAVA_STAMP) ## Make .venv with the command in it, and what the local stack needs

# The interpreter: a Python from 3.11 on that can make a virtual environment with pip in it.
$(BIN)/python:
	@for candidate in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
	  "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	    2>/dev/null || continue; \
	  echo "Making $(VENV) with $$candidate"; \
	  "$$candidate" -m venv $(VENV); \
	  exit 0; \
	done; \
	echo "No Python from 3.11 on that can make virtual environments was found." >&2; \
	echo "Install one (Debian, as root: apt-get install python3 python3-venv)," >&2; \
	echo "or name one: make setup PYTHON=/path/to/python3.11" >&2; \
	exit 1

# Hashes are checked for every package; the project itself is built without fetching anything.
$(STAMP): requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Kafka runs on a JVM from Maven artifacts, which are fetched once, here.
$(JAVA_STAMP): deploy/kafka/pom.xml | $(STAMP)
	@if ! { command -v java && command -v mvn; } >/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "The local Kafka needs Java 17 and Maven: installing $(JAVA_PACKAGES) with apt-get"; \
	    apt-get update -q && apt-get install -y -q --no-install-recommends $(JAVA_PACKAGES); \
	  else \
	    echo "The local Kafka needs Java from 17 on, and Maven. Run: sudo apt-get install $(JAVA_PACKAGES)" >&2; \
	    echo "(other systems: a Java 17 runtime and Maven on the PATH), then make again." >&2; \
	    exit 1; \
	  fi; \
	fi
	$(BIN)/python -c 'from app.adapters.local.kafka_jars import find_java, kafka_jars; find_java(); kafka_jars()'
	@touch $@

# The fuzzer is no part of `make setup`: 35 MB that only one target needs.
$(FUZZ_STAMP): requirements-fuzz.lock | $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-fuzz.lock
	@touch $@

GROUP = import sys, tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"][sys.argv[1]]))

COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/python -m piptools compile --quiet --generate-hashes \
  --allow-unsafe --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-options

lock: | $(BIN)/python ## Write the lock files anew from pyproject.toml
	$(BIN)/python -c '$(GROUP)' dev | $(COMPILE) --output-file requirements.lock pyproject.toml -
	$(BIN)/python -c '$(GROUP)' fuzz | $(COMPILE) --output-file requirements-fuzz.lock -
	$(COMPILE) --constraint requirements.lock --output-file deploy/requirements.lock pyproject.toml

fmt: setup ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix $(PATHS)
	$(BIN)/ruff format $(PATHS)

docs: setup ## Write docs/pql-functions.md anew from the table of functions
	$(BIN)/python -c 'import pathlib, app.pql.reference as page; pathlib.Path("docs/pql-functions.md").write_text(page.rendered(), "utf-8")'

check: setup ## Lint, format, types and import rules; changes nothing
	$(BIN)/ruff check $(PATHS)
	$(BIN)/ruff format --check $(PATHS)
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup ## Run all tests but the long ones; starts a real Kafka and Redis
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist worksteal -m "not bench and not long"

test-long: setup ## Run the long forms of the fault, load and property tests; takes hours
	$(BIN)/pytest -m long
	HYPOTHESIS_PROFILE=long $(BIN)/pytest --timeout 0 tests/property

fuzz-api: setup ## Ask the API what its OpenAPI document allows and forbids, for half an hour
	$(BIN)/pytest -m long tests/e2e/test_api_fuzz.py

fuzz-pql: setup $(FUZZ_STAMP) ## Look for inputs that break the language (FUZZ_SECONDS=600)
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

bench: setup ## Measure throughput, cost and latency (BENCH="--quick", "--help")
	$(BIN)/python -m tests.bench $(BENCH)

demo: setup ## Watch it work for a minute: Kafka, Redis, worker, API, made-up traffic
	$(BIN)/segmentation demo --seconds 60

clean: ## Remove the environment, caches and local data
	rm -rf $(VENV) .cache .data .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
