# All targets use the virtual environment .venv with the exact versions of .ci/constraints.txt.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
READY := $(VENV)/.ready
CHANGELOG ?= CHANGELOG.md

.DEFAULT_GOAL := help
.PHONY: help install fmt lint type test e2e browser pictures campaign bench demo docs docs-help man audit check dist notes
.PHONY: clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(READY) ## create the virtual environment

$(READY): pyproject.toml .ci/constraints.txt
	@echo 'Creating the virtual environment $(VENV): about a minute, once.'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable '.[dev]'
	@touch $@

fmt: $(READY) ## format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

lint: $(READY) ## run the linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(READY) ## run the type checker
	$(BIN)/mypy

test: $(READY) ## run all tests
	$(BIN)/pytest -m 'not bench and not browser' --numprocesses auto --maxprocesses 4 --dist loadfile

e2e: $(READY) ## run only the tests of the installed command
	$(BIN)/pytest -m e2e

browser: $(VENV)/.browser ## test report.html in a real browser (installs Chromium as root)
	BROWSER_TESTS=required $(BIN)/pytest -m browser

pictures: $(VENV)/.browser ## render docs/demo.svg, progress.svg and report-*.png from real runs against the sandbox
	$(BIN)/python -m tests.browser.terminal_pictures
	$(BIN)/python -m tests.browser.pictures

$(VENV)/.browser: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable '.[browser]'
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
		|| { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -qq --no-install-recommends chromium; } \
		|| { echo 'These tests need Chromium: apt-get install chromium' >&2; exit 1; }
	@touch $@

campaign: $(READY) ## test random faults, kills and resumes for SECONDS (60) with SEED (random)
	$(BIN)/python -m tests.campaign --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

bench: $(READY) ## run the benchmarks (15 minutes); PART=... for one part
	$(BIN)/python -m tests.bench $(PART)

demo: $(READY) ## run the main job against the embedded workspace and show the report
	@rm -rf demo-run
	@$(BIN)/rolecall demo --out demo-run
	@echo; echo 'The first rows of demo-run/run/report.csv:'; head -n 8 demo-run/run/report.csv

docs: $(READY) ## check that every command, option, outcome and reason is documented
	$(BIN)/pytest tests/unit/test_docs.py

docs-help man: $(READY) ## write the man page, and the generated parts of docs/reference.md, from the code
	$(BIN)/python -m tests.docs_help

audit: $(READY) ## check the pinned versions for known vulnerabilities (needs the network)
	$(BIN)/pip-audit --requirement .ci/constraints.txt --no-deps --disable-pip

check: lint type test ## run everything that must pass before a change is merged

dist: $(READY) ## build the wheel and the source archive into dist/
	rm -rf dist
	$(BIN)/python -m hatchling build --directory dist

notes: ## print the release notes: the newest version's section of the changelog
	@awk '/^## \[?[0-9]/ { if (found++) exit; next } found && (NF || lines++)' $(CHANGELOG)

clean: ## delete the files that the targets create
	rm -rf $(VENV) demo-run dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
