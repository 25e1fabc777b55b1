# Everything that is done with this checkout. `make` alone lists the targets.
# Needs Python 3.11 to 3.13 and make; all else is installed into .venv, with versions and hashes pinned.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: help setup demo test fast check format bench bench-peers docs pins clean

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
PIP := $(PY) -m pip --disable-pip-version-check -qq
WORKERS ?= 2
export UV_CUSTOM_COMPILE_COMMAND = make pins
export NO_MKDOCS_2_WARNING = 1
export PYTHON

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv with everything pinned (once; `make demo` and `make test` do it by themselves)

# The build of torch that this machine offers (CPU or CUDA) comes last, without a hash: see requirements/dev.in.
$(READY): requirements/dev.txt requirements/torch.txt pyproject.toml
	@[ -x $(PY) ] || bash requirements/make-venv.sh $(VENV)
	@echo "installing the pinned packages into $(VENV) (a few minutes, once)"
	@$(PIP) install --no-deps --require-hashes -r requirements/dev.txt
	@$(PIP) install -r requirements/torch.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

demo: setup  ## render a small shop's photos, train on them, report, predict (about 5 minutes)
	@$(PY) examples/shop_demo.py

test: check  ## checks, then every test
	@$(PY) -m pytest -n $(WORKERS) --dist worksteal

fast: setup  ## the fast ring of tests, under 20 s
	@$(PY) -m pytest -q -n $(WORKERS) -m "not slow and not shared"

check: setup  ## style, types, directions of imports
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

format: setup  ## mend the style where ruff can
	@$(VENV)/bin/ruff check --fix --quiet .
	@$(VENV)/bin/ruff format --quiet .

bench: setup  ## start-up, table sizes and throughput on this machine (minutes), as JSON lines
	@$(PY) -m benchmarks

bench-peers: setup  ## make .venvs/peers with the tools that Assay is measured beside (6 GB, once)
	@$(PY) -m benchmarks.peers.setup_peers

docs: setup  ## write the reference pages from the code and build the site into site/
	@$(PY) docs/generate.py
	@$(VENV)/bin/mkdocs build --strict --quiet
	@echo "site/index.html"

pins: setup  ## resolve requirements/*.txt again from pyproject.toml, with hashes
	@$(PIP) install uv
	@$(VENV)/bin/uv pip compile pyproject.toml requirements/dev.in --extra dev -o requirements/dev.txt \
		--override requirements/without-torch.txt --universal --python-version 3.11 --generate-hashes --quiet
	@$(VENV)/bin/uv pip compile pyproject.toml -o requirements/core.txt \
		--universal --python-version 3.11 --generate-hashes --quiet
	@$(VENV)/bin/uv pip compile pyproject.toml --extra serve -c requirements/dev.txt -o requirements/serve.txt \
		--universal --python-version 3.11 --generate-hashes --quiet

clean:  ## remove what is made here, except .venv, runs/ and demo/
	@rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find src tests benchmarks examples docs -name __pycache__ -type d -prune -exec rm -rf {} +
