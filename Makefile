# make bench: set up .venv and run the main comparison      make test: run the tests
# make lint:  ruff and pyright                              make docs: build the documentation
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: bench test lint docs clean

bench: .venv/bench.installed
	$(BIN)/python -m benchmarks.run --suite heterogeneity $(ARGS)

test: .venv/dev.installed
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: .venv/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: .venv/docs.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# one stamp per set of extras: make bench installs no development tools
.venv/bench.installed: EXTRAS :=
.venv/dev.installed: EXTRAS := [dev,inception,browser]
.venv/docs.installed: EXTRAS := [docs]

.venv/%.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version) if sys.version_info < (3, 11) else 0'
	@echo "installing into .venv; PyTorch is a large download"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.$(EXTRAS)'
	@touch $@

clean:
	rm -rf .venv build site *.egg-info
