# make demo, make test: each works in a fresh checkout, and sets up .venv the first time.

PYTHON ?= $(shell python3.11 -c "" 2>/dev/null && echo python3.11 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-cluster lint clean

# TensorFlow reports its build on standard error at import; the demo's table should stand out.
demo: $(INSTALLED)
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python examples/quickstart.py

test: $(INSTALLED)
	$(BIN)/python -m pytest

# Apart, since its packages are large (Ray alone 240 MB) and it starts clusters.
test-cluster: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dask,ray,tune]"
	$(BIN)/python -m pytest -m cluster

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
