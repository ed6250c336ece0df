# Two commands on a fresh machine: `make demo` and `make test`. Each sets up what it needs in .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile --constraint constraints.txt
# The pinned pip takes half the time of the one that Python brings; setuptools is fetched once, not for every build.
INSTALL := $(PIP) --upgrade pip 'setuptools>=77' && $(PIP) --no-build-isolation --editable

# Set in some containers, it would have every command parse torch anew: 16 s instead of 6 for a training of three steps.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-extended lint docs clean
demo: .venv/demo-ready
	$(BIN)/proxyc demo

# Two workers of one thread each: the tests that train would otherwise share the cores badly. A worker begins with one half
# of the files, so that most fixtures are made once, and takes tests from the other when it has no more.
test: .venv/test-ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

# Fuzzing, damaged files, other paths to the same numbers: some minutes more.
test-extended: .venv/test-ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 -m extended tests/extended

lint: .venv/test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A broken link or reference is an error.
docs: .venv/docs-ready
	$(BIN)/python -m sphinx -n -W --keep-going -q -b html docs docs/_build
	@echo docs/_build/index.html

clean:
	rm -rf .venv demo build dist docs/_build *.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo-ready: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) '.[all]'
	touch $@

# The kernels are compiled while the other packages are installed; else every worker of the tests would compile them.
.venv/test-ready: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) .
	$(BIN)/python -m proxylm.cli.main doctor --warm & $(PIP) --no-build-isolation --editable '.[all,docs,test]' && wait $$!
	touch $@

.venv/docs-ready: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) '.[all,docs]'
	touch $@
