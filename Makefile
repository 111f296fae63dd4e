# Every target says what it does; a bare `make` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test faults fuzz check format bench report guide docs lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(STAMP) ## make .venv and install hpsearch and its tools there

$(STAMP): requirements.lock pyproject.toml
	@echo "setting up $(VENV): about a minute the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: setup ## train the digits study and say what came out
	@echo "hpsearch run studies/digits.toml   (after Ctrl-C, the same command resumes)"
	@$(BIN)/hpsearch run studies/digits.toml --storage sqlite:///demo.db
	@echo "(the command hpsearch is on your path after:  . $(BIN)/activate)"

test: setup ## run all tests
	@echo "running the tests on all cores"
	@$(BIN)/python -m pytest -n auto --dist worksteal

faults: setup ## break it on purpose for a quarter of an hour: 20,000 kills, 10,000 flipped bits, all samplers
	@echo "killing, filling disks, flipping bits: what the tests do, ten times as often"
	@HPSEARCH_KILLS=20000 HPSEARCH_RUNS=360 HPSEARCH_FLIPS=10000 HPSEARCH_LOCKED=60 \
		$(BIN)/python -m pytest -n auto --dist worksteal tests/faults tests/test_bitflips.py

fuzz: setup ## break study files, arguments, data, databases, dumps and models 100,000 times
	@HPSEARCH_FUZZ=3600 $(BIN)/python -m pytest -n auto --dist worksteal tests/test_fuzz.py tests/test_data_fuzz.py

check: setup ## format check, lint, strict types and all tests: what CI runs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(MAKE) --no-print-directory test

format: setup ## format the code and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup ## measure against the usual ways of doing it, in 15 minutes; writes docs/benchmarks.md
	@echo "installing the peers (ray, smac) beside hpsearch"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c requirements.lock -r benchmarks/requirements.lock \
		|| echo "they could not be installed: their rows say so"
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m docs.generate

report: setup ## renew the sample under reports/digits
	@rm -f reports.db
	@COLUMNS=80 HPSEARCH_STORAGE=sqlite:///reports.db $(BIN)/hpsearch run studies/digits.toml >reports/digits/screen.txt
	@$(BIN)/hpsearch report digits --storage sqlite:///reports.db --out reports/digits 2>/dev/null
	@rm -rf reports/digits/charts reports/digits/*.parquet # four megabytes that the page has, too
	@$(BIN)/python -m docs.screenshot reports/digits/report.html reports/digits/page.png
	@rm -f reports.db

guide: setup ## run the studies of studies/guide, in three minutes; writes their answers to reports/guide
	@$(BIN)/python -m docs.guide

docs: setup ## renew the generated pages under docs/
	@$(BIN)/python -m docs.generate

lock: ## renew requirements.lock from pyproject.toml
	@rm -rf .lock-venv && $(PYTHON) -m venv .lock-venv
	@.lock-venv/bin/python -m pip install --quiet torch==2.13.0 -e '.[dev]' hatchling editables
	@.lock-venv/bin/python -m pip freeze --exclude-editable | sed 's/+cpu//' > requirements.lock
	@rm -rf .lock-venv

clean: ## remove what the targets above have made
	@rm -rf $(VENV) demo.db reports.db .pytest_cache .mypy_cache .ruff_cache .hypothesis
