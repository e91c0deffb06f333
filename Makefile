# Each target makes the environment that it needs; `make run` and `make test` are all a newcomer has to know.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN = .venv/bin
DATA ?= ../shared/data
export JAX_PLATFORMS ?= cpu
# tests at a time, each in a process of its own; those of a file share what they made
TESTS = -n 2 --dist loadfile

.PHONY: run test test-slow check bench picture clean

run: .venv/made
	$(BIN)/python -m launch.train --config=experiments/embedded.py --workdir=runs/embedded
	$(BIN)/python -m launch.score --workdir=runs/embedded --input=experiments/pairs.jsonl --output=runs/embedded/scored.jsonl
	@echo "scored pairs: runs/embedded/scored.jsonl"
	@echo "report: runs/embedded/report/report.html"

test: .venv/made
	$(BIN)/python -m pytest $(TESTS)

# shapes in annotations are checked by the quick tests alone: slow ones measure
test-slow: .venv/made
	$(BIN)/python -m pytest $(TESTS) --no-loadscope-reorder --jaxtyping-packages= -m slow

check: .venv/made
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: .venv/made
	$(BIN)/python -m launch.bench --data=$(DATA)

# of what `make run` left
picture: .venv/made
	$(BIN)/python docs/picture.py runs/embedded docs/picture.png

clean:
	rm -rf .venv .pytest_cache runs build *.egg-info

.venv/made: pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,check]'
	touch $@
