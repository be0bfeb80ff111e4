# run: start the demo; test: all tests; check: types, style, texts and drawings; flows: draw the flows anew;
# soak: a thousand kills in 200,000 hops, which takes most of an hour.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: run test check flows soak lock

run: .venv/run
	@$(BIN)/python -m gateway run

test: .venv/test
	$(BIN)/pytest -n 2 --dist loadgroup

check: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m gateway lint
	$(BIN)/python -m gateway flows --check

soak: .venv/test
	$(BIN)/python -m tests.crash --kills 1000 --hops 200000

flows: .venv/run
	$(BIN)/python -m gateway flows

lock: .venv/test
	$(BIN)/pip-compile --quiet --no-emit-index-url --no-emit-find-links --no-header --strip-extras --generate-hashes --allow-unsafe --output-file requirements.txt pyproject.toml
	$(BIN)/pip-compile --quiet --no-emit-index-url --no-emit-find-links --no-header --strip-extras --generate-hashes --extra dev --allow-unsafe --output-file requirements-dev.txt pyproject.toml

.venv/run: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/test: .venv/run requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
