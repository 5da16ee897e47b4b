# Every chore of the project. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help install lint types unit test clean

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

install: $(STAMP)  ## make .venv and install what is pinned

lint: $(STAMP)  ## check format and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)  ## check types
	$(BIN)/mypy

unit: $(STAMP)  ## the tests alone
	$(BIN)/python -m pytest -n 2 --dist worksteal

test: lint types unit  ## lint, types and the whole suite

clean:  ## remove what was built here
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist
