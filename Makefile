# Each target makes the environment that it needs; `make run` and `make test` are all a newcomer has to know.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN = .venv/bin
DATA ?= ../shared/data
export JAX_PLATFORMS ?= cpu
# tests at a time, each in a process of its own; those of a file share what they made
TESTS = -n 2 --dist loadfile

.PHONY: run test test-slow check bench picture lock clean

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

# versions and hashes of all packages anew, after a change of pyproject.toml; LOCK_FLAGS=--upgrade takes newer ones.
# make.txt is what this file installs, pod.txt for workers with TPUs, serve.txt for `prouter serve`; extras.txt has what is in neither
LOCK_FLAGS ?=
LOCK = build/uv/bin/uv pip compile --quiet --no-header --universal --python-version=3.11 --generate-hashes \
	$(LOCK_FLAGS) pyproject.toml
lock: build/uv/bin/uv
	$(LOCK) requirements/build.in --extra=test --extra=check -o requirements/make.txt
	$(LOCK) requirements/build.in --extra=gcs --extra=tpu --extra=ahead -c requirements/make.txt -o requirements/pod.txt
	$(LOCK) requirements/build.in --extra=serve --extra=postgres -c requirements/make.txt -o requirements/serve.txt
	$(LOCK) --override=requirements/without.in --extra=tensorboard --extra=minilm \
		-c requirements/make.txt -c requirements/pod.txt -o requirements/extras.txt

build/uv/bin/uv: requirements/uv.txt
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	touch $@

clean:
	rm -rf .venv .pytest_cache runs build *.egg-info

.venv/made: pyproject.toml setup.py requirements/make.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/make.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python requirements/check.py requirements/make.txt
	touch $@
