# All targets use the virtual environment .venv with the exact versions of .ci/constraints.txt;
# only simulate-product has one of its own, because simloom needs a newer Python than the project.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
READY := $(VENV)/.ready
PRODUCT := $(VENV)-product
SIMLOOM := simloom==0.5.0
CHANGELOG ?= CHANGELOG.md

.DEFAULT_GOAL := help
.PHONY: help install fmt lint type test e2e browser pictures campaign bench demo demo-cluster docs docs-help man audit hashes check
.PHONY: dist notes clean simulate simulate-mutants simulate-product

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

# Three at once, also on two cores: tests often wait for a window of the server or for another process.
test: $(READY) ## run all tests
	$(BIN)/pytest -m 'not bench and not browser' --numprocesses 3 --dist loadfile

e2e: $(READY) ## run only the tests of the installed command
	$(BIN)/pytest -m e2e

browser: $(VENV)/.browser ## test report.html in a real browser (installs Chromium as root)
	BROWSER_TESTS=required $(BIN)/pytest -m browser

pictures: $(VENV)/.browser ## render the pictures in docs/ from real runs against the sandbox
	$(BIN)/python -m tests.browser.terminal_pictures
	$(BIN)/python -m tests.browser.pictures

$(VENV)/.browser: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable '.[browser]'
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
		|| { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -qq --no-install-recommends chromium; } \
		|| { echo 'These tests need Chromium: apt-get install chromium' >&2; exit 1; }
	@touch $@

campaign: $(READY) ## test random faults, kills and resumes for SECONDS (60) with SEED (random); WORKERS=1: on a database
	$(BIN)/python -m tests.campaign --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED)) $(if $(WORKERS),--workers)

simulate: $(READY) ## simulate whole runs in virtual time for SECONDS (60) with SEED (random); WORKERS=1: several workers
	PYTHONPATH=.:worker $(BIN)/python -m tests.simulation --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED)) \
		$(if $(WORKERS),--workers)

simulate-mutants: $(READY) ## check that the simulation finds each known defect within SECONDS (60)
	PYTHONPATH=.:worker $(BIN)/python -m tests.simulation --defects --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED)) \
		$(if $(WORKERS),--workers)

simulate-product: $(PRODUCT)/.ready ## simulate the whole product for SECONDS (60) with SEED (random); needs Python 3.12 or newer
	PYTHONPATH=.:worker $(PRODUCT)/bin/python -m tests.simulation.product --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

$(PRODUCT)/.ready: pyproject.toml .ci/constraints.txt
	@python=$$(for each in python3.14 python3.13 python3.12 \
		$$(ls -d "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.*/bin/python3 2>/dev/null | sort -rV) $(PYTHON); do \
			"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo "$$each" && break; done); \
	test -n "$$python" || { echo 'This simulation needs Python 3.12 or newer, and there is none here.' >&2; exit 1; }; \
	echo "Creating the virtual environment $(PRODUCT) with $$python: about a minute, once."; "$$python" -m venv $(PRODUCT)
	$(PRODUCT)/bin/pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable . $(SIMLOOM)
	@touch $@

bench: $(READY) ## run the benchmarks (15 minutes); PART=... for one part
	$(BIN)/python -m tests.bench $(PART)

demo: $(READY) ## run the main job against the embedded workspace and show the report
	@rm -rf demo-run
	@$(BIN)/rolecall demo --out demo-run
	@echo; echo 'The first rows of demo-run/run/report.csv:'; head -n 8 demo-run/run/report.csv

demo-cluster: $(READY) ## run a job with PostgreSQL and two workers, one of which is killed, and show the report
	@rm -rf demo-cluster
	@PYTHONPATH=.:worker $(BIN)/python -m tests.demo_cluster

docs: $(READY) ## check that every command, option, outcome and reason is documented
	$(BIN)/pytest tests/unit/test_docs.py

docs-help man: $(READY) ## write the man page, and the generated parts of docs/reference.md, from the code
	$(BIN)/python -m tests.docs_help

audit: $(READY) ## check every pinned version for known vulnerabilities (needs the network; else exit 1)
	$(BIN)/python .ci/audit.py $(BIN)/pip-audit

check: lint type test ## run everything that must pass before a change is merged

hashes: $(READY) ## write .ci/runtime.txt after a change of the constraints (needs the network)
	@echo '# What users install, with the hashes of every file of each version: `make hashes` writes it from the constraints.' \
		> .ci/runtime.txt
	$(BIN)/uv pip compile pyproject.toml --extra xlsx --extra cluster --constraint .ci/constraints.txt --generate-hashes --universal \
		--python-version 3.11 --no-header --no-annotate --no-emit-index-url --quiet >> .ci/runtime.txt

dist: $(READY) ## build the wheel, the source archive and the bill of materials into dist/
	rm -rf dist
	$(BIN)/python -m hatchling build --directory dist
	$(BIN)/python .ci/sbom.py dist

notes: ## print the release notes: the newest version's section of the changelog
	@awk '/^## \[?[0-9]/ { if (found++) exit; next } found && (NF || lines++)' $(CHANGELOG)

clean: ## delete the files that the targets create
	rm -rf $(VENV) $(PRODUCT) demo-run demo-cluster dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
