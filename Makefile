# Every target sets up .venv by itself; Python 3.11 or newer is all it needs.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
ZOO := .venv-zoo
WHEEL := .venv-wheel
# Of the environment in which the wheel is tried; constraints-lowest.txt has the lowest versions that it may meet.
CONSTRAINTS ?= constraints.txt
# One process a core; a file's tests stay together, for they share what they fit.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile

# Idle OpenMP threads sleep instead of spinning; on busy cores that is several times faster.
export OMP_WAIT_POLICY := PASSIVE

# What is tried is what is installed.
wheel: export PYTHONPATH :=
test test-all: export OMP_NUM_THREADS ?= 1

.PHONY: help install demo test test-all test-zoo check bench soak wheel lowest clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

install: $(STAMP)  ## create .venv with SynthCP and the development tools

demo: $(STAMP)  ## fit and score on drawn streets: runs/demo
	$(BIN)/synthcp demo --out runs/demo

test: $(STAMP)  ## run the tests, without the slow ones
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not zoo"

test-all: $(STAMP)  ## run all tests but those of test-zoo
	$(BIN)/python -m pytest $(PARALLEL) -m "not zoo"

test-zoo: $(ZOO)/.installed  ## test the adapters of torchvision and segmentation-models-pytorch
	$(ZOO)/bin/python -m pytest -m zoo tests/segmentation tests/examples

check: $(STAMP)  ## lint, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(STAMP)  ## run every script in benchmarks/ but those of soak
	@set -e; for script in $(filter-out benchmarks/soak.py benchmarks/service.py,$(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python $$script; done

soak: $(STAMP)  ## good and bad inputs for ten minutes, then a service at twice its load: flat memory, same results
	$(BIN)/python benchmarks/soak.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/service.py

wheel: $(STAMP)  ## build wheel and sdist (dist/), and try the wheel in a fresh environment
	rm -rf dist $(WHEEL)
	$(BIN)/python -m hatchling build
	$(PYTHON) -m venv $(WHEEL)
	$(WHEEL)/bin/python -m pip install -q --disable-pip-version-check -c $(CONSTRAINTS) dist/*.whl
	$(WHEEL)/bin/synthcp demo --scale tiny --quiet --out $(WHEEL)/demo
	$(WHEEL)/bin/python -I tools/smoke.py $(WHEEL)/demo

lowest: CONSTRAINTS = build/lowest.txt
lowest: build/lowest.txt wheel  ## the same with the lowest versions that pyproject.toml allows

build/lowest.txt: pyproject.toml tools/lowest.py
	mkdir -p build
	$(PYTHON) tools/lowest.py > $@

clean:  ## remove the environments, builds and caches; runs/ and out/ stay
	rm -rf .venv $(ZOO) $(WHEEL) dist build .pytest_cache .mypy_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "SynthCP needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	@echo "Installing into .venv (once; torch is a large download)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

$(ZOO)/.installed: pyproject.toml constraints-zoo.txt
	@echo "Installing into $(ZOO) (once; a torch that fits torchvision is a large download)"
	@$(PYTHON) -m venv $(ZOO)
	@$(ZOO)/bin/python -m pip install -q --disable-pip-version-check -c constraints-zoo.txt -e ".[zoo]" pytest
	@touch $@
