PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SPREAD := --numprocesses 2 --dist loadscope

.PHONY: install demo test test-all lint bench bench-search clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

demo: install
	$(BIN)/evolve run problems/jp_math

test: install
	$(BIN)/pytest $(SPREAD)

test-all: install
	$(BIN)/pytest $(SPREAD) -m "slow or not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python benchmarks/merge.py
	$(BIN)/python benchmarks/jp_math.py
	$(BIN)/python benchmarks/sandbox.py
	$(BIN)/python benchmarks/database.py --sizes 1000 --peers

bench-search: install  # hours; what is in its data file is not run again
	$(BIN)/python benchmarks/search.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
