# make demo, make test: each works in a fresh checkout, and sets up .venv the first time.

PYTHON ?= $(shell python3.11 -c "" 2>/dev/null && echo python3.11 || echo python3)
VENV := .venv
# Where a virtual environment has its commands.
ifeq ($(OS),Windows_NT)
SCRIPTS := Scripts
else
SCRIPTS := bin
endif
BIN := $(VENV)/$(SCRIPTS)
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-cluster lint docs coverage minimum colab nightly package audit clean

# TensorFlow logs its build at import, the first lines before it reads its log level. The demo
# imports Keras as the command line does, so that its table stands alone.
demo: $(INSTALLED)
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -c "import runpy; \
		from skimgcv._cli.quiet import import_keras; import_keras(); \
		runpy.run_path('examples/quickstart.py', run_name='__main__')"

# A file's tests share a process, and so the models that they compile.
PYTEST := -m pytest --numprocesses 2 --dist loadfile

test: $(INSTALLED)
	$(BIN)/python $(PYTEST)

# Apart, since its packages are large (Ray alone 240 MB) and it starts clusters. A test that waits
# for a worker for ten minutes has failed: a fold takes seconds.
test-cluster: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dask,ray,tune]"
	$(BIN)/python -m pytest -m cluster --timeout 600 \
		-o faulthandler_timeout=900 -o faulthandler_exit_on_timeout=true

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Runs the examples, offline: some minutes on two cores. Open docs/build/html/index.html.
docs: $(INSTALLED)
	$(BIN)/sphinx-build -W --keep-going -n -b html docs docs/build/html

# make test again, counting lines and branches.
coverage:
	$(MAKE) test PYTEST_ADDOPTS=--cov

# The tests in environments of other versions. `make test` is the one of the newest.
TESTS ?= # those that are named, or all
SOME_TESTS := $(PYTEST) -m "not slow and not data" $(TESTS)
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

# The oldest versions that pyproject.toml allows.
minimum:
	$(PYTHON) -m venv --clear build/minimum
	$(PYTHON) .ci/minimum.py > build/minimum/constraints.txt
	build/minimum/$(SCRIPTS)/python $(PIP_INSTALL) \
		--constraint build/minimum/constraints.txt --editable ".[test]"
	build/minimum/$(SCRIPTS)/python $(SOME_TESTS)

# What people have on Google Colab, with its two owners of cv2, on its Python where that is here.
COLAB_PYTHON ?= $(firstword $(shell python3.13 -c "import sys; print(sys.executable)" 2>/dev/null) \
	$(wildcard $(HOME)/.pyenv/versions/3.13.*/bin/python3.13) $(PYTHON))
colab:
	$(COLAB_PYTHON) -m venv --clear build/colab
	build/colab/$(SCRIPTS)/python $(PIP_INSTALL) --constraint .ci/colab.txt opencv-python
	build/colab/$(SCRIPTS)/python $(PIP_INSTALL) --constraint .ci/colab.txt --editable ".[test]"
	build/colab/$(SCRIPTS)/python $(SOME_TESTS)

# What comes next: by hand, before a release. The nightly builds are packages of their own.
nightly:
	$(PYTHON) -m venv --clear build/nightly
	build/nightly/$(SCRIPTS)/python $(PIP_INSTALL) --editable ".[test]"
	build/nightly/$(SCRIPTS)/python -m pip uninstall --quiet --yes keras tensorflow
	build/nightly/$(SCRIPTS)/python $(PIP_INSTALL) keras-nightly tf-nightly
	build/nightly/$(SCRIPTS)/python $(SOME_TESTS)

# The wheel, and the source, each in an environment that holds nothing else.
package: $(INSTALLED)
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv --clear build/package
	build/package/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	build/package/$(SCRIPTS)/python -I .ci/smoke.py
	build/package/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --force-reinstall dist/*.tar.gz
	build/package/$(SCRIPTS)/python -I .ci/smoke.py

audit: $(INSTALLED)
	$(BIN)/python .ci/audit.py

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

clean:
	rm -rf docs/build docs/generated docs/auto_examples
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
