# Everything a newcomer needs: make demo, make test. Both make their own virtual environment.
PYTHON ?= python3
VENV ?= .venv
SECONDS ?= 300
JOBS ?= auto
BIN := $(VENV)/bin
SOURCES := $(shell find mdmprofile templates -type f -not -name '*.pyc') pyproject.toml README.md

.DEFAULT_GOAL := help
.PHONY: help demo test tools lint types tests docs bench soak format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## Build a demo profile and look at what came out
	@sh examples/demo.sh "$(BIN)/mdmprofile" demo

test: tools $(VENV)/.developed ## Lint, types and every test, with the tools they talk to
	@$(MAKE) --no-print-directory lint types tests

tools:
	@sh tests/install-tools.sh

lint: $(VENV)/.developed ## ruff, rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.developed ## mypy, strict
	$(BIN)/mypy

tests: $(VENV)/.developed ## pytest with coverage, against the built wheel
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run $(BIN)/pytest --numprocesses $(JOBS) --dist loadfile
	@find . -maxdepth 1 -name '.coverage.*' -empty -delete # of processes that the tests killed
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

docs: $(VENV)/.developed ## Make the pictures and lists in docs/ again
	$(BIN)/python docs/make_docs.py

bench: $(VENV)/.developed ## Start-up, build, lint, check, batch and message time as ratios
	$(BIN)/python tests/benchmarks/startup.py
	$(BIN)/python tests/benchmarks/lint.py
	$(BIN)/python tests/benchmarks/check.py
	$(BIN)/python tests/benchmarks/batch.py
	$(BIN)/python tests/benchmarks/message.py

soak: $(VENV)/.developed ## Feed broken files to every reader, kill batches, race for pins: make soak SECONDS=3600
	$(BIN)/python tests/fuzz/fuzz.py --seconds $(SECONDS)
	$(BIN)/python tests/soak/kill_batch.py 100
	$(BIN)/python tests/soak/race_pins.py 1000
	$(BIN)/python tests/soak/mutate_messages.py 100000

format: $(VENV)/.developed ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove what the other targets made
	rm -rf $(VENV) demo build dist .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit("mdmprofile needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

# The wheel is what is installed and tested, so a file missing from it is noticed.
$(VENV)/.installed: $(VENV)/.made $(SOURCES)
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps .
	$(BIN)/python -m pip install --quiet .
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@
