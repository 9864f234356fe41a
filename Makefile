PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PYTHONDONTWRITEBYTECODE =# empty: what one process has compiled, the hundreds that tests start only load

.PHONY: help demo test check format lint types imports fuzz bench lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' $(MAKEFILE_LIST)

$(STAMP): requirements.txt pyproject.toml
	$(PYTHON) -m venv --without-pip $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --require-hashes -r requirements.txt
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --no-deps --no-build-isolation --no-index -e .
	@touch $@

demo: $(STAMP) ## the main job on embedded defaults, told as a story; ends by itself
	$(BIN)/dcc demo

test: $(STAMP) ## all tests; those that need a peer program skip with its name where it is absent
	$(BIN)/python -m pytest -q -n 4 --dist loadfile --no-loadscope-reorder

check: format lint types imports test ## what a reviewer runs

format: $(STAMP)
	$(BIN)/ruff format --check .

lint: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

FUZZ_SECONDS ?= 7
FUZZER := $(VENV)/.fuzzer
$(FUZZER): $(STAMP) tests/fuzz/requirements.txt
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --require-hashes -r tests/fuzz/requirements.txt || echo "atheris cannot be installed here: mutation without coverage"
	@touch $@

fuzz: $(FUZZER) ## hostile input for the readers of S/MIME and of cards: five fuzzers, FUZZ_SECONDS=7 each
	$(BIN)/python tests/fuzz/run.py --seconds $(FUZZ_SECONDS)

bench: $(STAMP) ## floor and pipeline in one run, with the ratio
	$(BIN)/python -m dcc.gateway.bench

lock: ## pin every dependency with its hashes
	$(PYTHON) -m venv --without-pip $(VENV)/lock
	$(PYTHON) -m pip --python $(VENV)/lock/bin/python install --quiet uv
	$(VENV)/lock/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --extra dev pyproject.toml -o requirements.txt

clean: ## remove what was built
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
