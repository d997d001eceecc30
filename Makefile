# Two commands set everything up from a bare clone: `make quickstart` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT := quickstart
PHOTOS ?=
WORKERS ?= 2
AUDIT ?=
# One torch thread per process: the work is split over processes, and bytes do not depend on threads.
export OMP_NUM_THREADS ?= 1

.PHONY: help quickstart test check lint format torture audit bench benchmark docs-pictures report-pictures clean

help:
	@echo "make quickstart  install, generate a small set, train three algorithms leave-one-attack-out, write report.html"
	@echo "                 (PHOTOS=DIR adds your own portraits, of people who agreed; DIR/landmarks.csv is used where it exists)"
	@echo "make test        install, run every test"
	@echo "make check       format, lint, types, import arrows, fast tests"
	@echo "make torture     every fault of docs/reliability.md, as often as its table says"
	@echo "make audit       known vulnerabilities of what is installed; needs the network"
	@echo "                 (AUDIT='--vulnerability-service osv' asks another service, AUDIT=--dry-run none)"
	@echo "make bench       speed against named peers"
	@echo "make benchmark   every algorithm on unseen attacks and unseen devices (about two hours on two cores)"

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is wanted, seen " + sys.version.split()[0] + "; try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.study: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[study]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.study

quickstart: $(VENV)/.study
	@mkdir -p $(OUT)
	$(BIN)/python examples/portraits.py $(OUT)/photos $(PHOTOS)
	$(BIN)/spooflab generate configs/generation/quickstart.yaml --out $(OUT)/data --workers $(WORKERS) $(if $(wildcard $(OUT)/data/plan.json),--resume)
	$(BIN)/spooflab verify $(OUT)/data
	$(BIN)/spooflab study configs/studies/quickstart.yaml --data $(OUT)/data --out $(OUT)/study --workers $(WORKERS)
	@echo "done: open $(OUT)/study/report.html"

# A module's tests stay in one process, so that what they share (a study, a fitted camera) is made once. They start in
# the order of tests/conftest.py, slow modules first: a long one that starts last leaves the other processes idle.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

test: $(VENV)/.dev
	$(PYTEST)

check: $(VENV)/.dev lint
	$(PYTEST) -m "not slow"

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Every fault of docs/reliability.md as often as its table says: some hundred processes are started, so it takes long.
torture: $(VENV)/.dev
	SPOOFLAB_TORTURE=docs/reliability.md $(BIN)/python -m pytest tests/reliability

# Asks a service of vulnerabilities over the network, so neither the tests nor CI call it.
audit: $(VENV)/.dev
	$(BIN)/pip-audit --skip-editable --progress-spinner off $(AUDIT)

bench: $(VENV)/.dev
	$(BIN)/spooflab bench all
	$(BIN)/spooflab bench augment --malloc default

benchmark: $(VENV)/.dev
	$(BIN)/python -m spooflab.experiments.embedded_benchmark $(OUT)/benchmark --workers $(WORKERS) --into docs/benchmark.md

docs-pictures: $(VENV)/.dev
	$(BIN)/python examples/docs_pictures.py docs/pictures

# README's two pictures of the quick start's report; needs chromium on the path.
report-pictures: quickstart
	$(BIN)/python examples/report_pictures.py $(OUT)/study/report.html docs/pictures

clean:
	rm -rf $(VENV) build dist *.egg-info src/*.egg-info quickstart .mypy_cache .ruff_cache .pytest_cache .hypothesis
