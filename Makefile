# make demo: install, run the main job.   make test: install, pass the tests.   make check: what CI asks for.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
INSTALLED := $(VENV)/.installed
SOURCES := src hook benchmark tests tools

.PHONY: demo test check lint format towers clean

demo: $(INSTALLED)
	$(RUN) -W ignore -m anomalib_cops.demo

# A process per core and one thread in each, which is faster than the other way round for models this small.
# Tests that start clusters or groups of processes of their own come afterwards, by themselves.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile --max-worker-restart 0 -m 'not alone'
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m alone

check: lint test

lint: $(INSTALLED)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(RUN) -m tools.tables --check
	$(RUN) -m tools.backbones --check
	$(RUN) -m benchmark table --check --results benchmark/results

format: $(INSTALLED)
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)
	$(RUN) -m benchmark table --write --results benchmark/results
	$(RUN) -m tools.tables
	$(RUN) -m tools.backbones --page

towers: $(INSTALLED)
	.ci/open_clip

# One environment for all targets; made again when the dependencies or the start-up hook change.
$(INSTALLED): pyproject.toml $(wildcard hook/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) results .pytest_cache .mypy_cache .ruff_cache
