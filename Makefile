# Every command a person types. `make` alone prints them.

PYTHON ?= python3
VENV := .venv
# Superset's libraries are older than those of the package: an environment of its own.
SUPERSET := .venv-superset
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# A lock file is whole: pip has nothing to choose, and an older pip would choose a newer version of what is wanted with an extra.
PIP_LOCKED := $(PIP) install --require-hashes --no-deps -r
UV_COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --quiet --extra hive --extra postgresql --extra trino --group build
# The compiled parser is for speed only: without Rust everything works, and says what that costs.
CARGO := $(shell command -v cargo 2>/dev/null)
RUST := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' native/Cargo.toml)
# Some installations have neither rustfmt nor clippy, and a distribution's Rust may be older than the parser wants.
RUST_HAS_STYLE := cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && \
	printf '%s\n' $(RUST) "$$(rustc --version | cut -d ' ' -f 2)" | sort -V -C
NATIVE := lakehouse/liblakehouse_native.$(if $(filter Darwin,$(shell uname -s)),dylib,so)
SOURCES := lakehouse tests $(wildcard benchmarks images)
SERVE = exec $(BIN)/python superset/start.py $(SUPERSET)/bin/python superset/serve.py
# Tests write durably, some hundred thousand times: into memory, where there is room for what they leave until their end. And they
# wait for programs that they start: three at a time are a sixth faster than two, also on two CPUs.
IN_MEMORY := $(shell [ -w /dev/shm ] && [ "$$(df -k --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 4000000 ] && echo /dev/shm/XXXXXX)
# Checked for style only: what they import lives in Superset's environment.
STYLED := $(SOURCES) superset

# Compiled modules make every command start sooner, also where the environment forbids them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo superset superset-check superset-export test test-superset test-cluster test-long lint format native native-or-slow charts-docs images up down docs bench lock clean
.DELETE_ON_ERROR:

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime ## Load sample logs of three sites and fourteen days, query them, explain what happened
	@$(BIN)/python -m lakehouse.demo

superset: $(SUPERSET)/.installed ## Serve the dashboards over the lakehouse folder (LAKEHOUSE_HOME, else the demo's, with sample data)
	@$(SERVE)

superset-check: $(SUPERSET)/.installed ## Say what differs between the dashboards' files and Superset
	@$(SERVE) check

superset-export: $(SUPERSET)/.installed ## Write what was changed in the browser into the dashboards' files
	@$(SERVE) export

test: lint ## Run all tests that need no cluster: linters, types, pytest with warnings as errors, coverage
	@# What a failing run leaves stays, to be looked at. PostgreSQL is run by a user of its own, who must come into the folder.
	folder=$$(mktemp -d $(IN_MEMORY)) && chmod 711 "$$folder" && TMPDIR=$$folder $(BIN)/python -m pytest -W error -m "not long" --cov --cov-report=term \
		-o tmp_path_retention_policy=failed --numprocesses 3 --dist loadscope --no-loadscope-reorder $(PYTEST_ARGS) && rm -rf "$$folder"

lint: $(VENV)/.dev ## Check style, formatting and types
	$(BIN)/ruff check $(STYLED)
	$(BIN)/ruff format --check $(STYLED)
	$(BIN)/mypy $(SOURCES)
ifneq ($(CARGO),)
	@if $(RUST_HAS_STYLE); then set -ex; \
		cargo fmt --manifest-path native/Cargo.toml --check; \
		cargo clippy --manifest-path native/Cargo.toml --locked --all-targets --quiet -- --deny warnings; \
	else echo "!!! THE COMPILED PARSER'S STYLE WAS NOT CHECKED: that takes Rust $(RUST) or newer with rustfmt and clippy" >&2; fi
endif

format: $(VENV)/.dev ## Sort imports, fix what can be fixed, format the code
	$(BIN)/ruff check --fix $(STYLED)
	$(BIN)/ruff format $(STYLED)
ifneq ($(CARGO),)
	@if $(RUST_HAS_STYLE); then set -x; cargo fmt --manifest-path native/Cargo.toml; \
	else echo "!!! THE COMPILED PARSER WAS NOT FORMATTED: that takes Rust $(RUST) or newer with rustfmt and clippy" >&2; fi
endif

native: $(NATIVE) ## Build the compiled parser of access logs (needs Rust); loads take less time with it
	cargo test --manifest-path native/Cargo.toml --locked --quiet

test-superset: $(VENV)/.dev $(SUPERSET)/.installed ## Run the tests of the dashboards, in a real browser (Debian's chromium)
	$(BIN)/python -m pytest -W error -m "not long" tests/browser $(PYTEST_ARGS)

test-cluster: $(VENV)/.dev ## Run the tests of the charts on a real Kubernetes: KUBECONFIG's, or one made for them
	$(BIN)/python -m pytest -W error -m "not long" -s tests/cluster $(PYTEST_ARGS)

test-long: ## Run what takes too long for the other two, with and without a cluster; ends with a summary of times
	@.ci/long

charts-docs: $(VENV)/.dev ## Make schema and README.md of each chart from its values.yaml
	$(BIN)/python -m tests.charts.reference

images: $(VENV)/.dev ## Build all container images that the charts run, without any image registry if need be
	$(BIN)/python -m images

up: $(VENV)/.dev ## Install the lakehouse on a Kubernetes here: KUBECONFIG's, kind's, or a node made for it (root, Linux)
	@$(BIN)/python -m tests.cluster up $(UP_ARGS)

down: $(VENV)/.dev ## End the cluster that `make up` made and keep its data; DOWN_ARGS=--remove removes them too
	@$(BIN)/python -m tests.cluster down $(DOWN_ARGS)

docs: $(VENV)/.dev ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.bench ## Measure speed and memory and print tables (takes a while; see docs/benchmarks.md)
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

lock: $(VENV)/.dev ## Pin the newest versions that pyproject.toml allows in the lock files
	$(UV_COMPILE) --upgrade --output-file requirements.lock
	$(UV_COMPILE) --upgrade --group dev --group docs --constraint requirements.lock --output-file requirements-dev.lock
	$(BIN)/uv pip compile superset/requirements.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --quiet --output-file superset/requirements.lock
	$(UV_COMPILE) --upgrade --group bench --constraint requirements.lock --output-file requirements-bench.lock

clean: ## Remove the virtual environment, the demo, caches and everything that was built
	rm -rf $(VENV) $(SUPERSET) native/target lakehouse/liblakehouse_native.* demo-lakehouse site build dist *.egg-info .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find lakehouse tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(NATIVE): native/Cargo.toml native/Cargo.lock $(wildcard native/src/*.rs)
	@echo "Building the compiled parser of access logs ($@)"
	@cargo build --manifest-path native/Cargo.toml --locked --release --quiet
	@# A process that has the old one open must not see it change.
	@cp native/target/release/$(@F) $@.new && mv $@.new $@

native-or-slow:
ifneq ($(CARGO),)
	@$(MAKE) --silent --no-print-directory $(NATIVE) || \
		echo "!!! THE COMPILED PARSER COULD NOT BE BUILT: LOADS OF ACCESS LOGS TAKE LONGER (see above; make native tries again)" >&2
else
	@echo "!!! THERE IS NO cargo HERE, SO LOADS OF ACCESS LOGS TAKE LONGER: install Rust and run make native" >&2
endif

$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no $(PYTHON) here: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$$($(PYTHON) --version) is too old: name Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: run 'apt-get install python3-venv' (Debian, Ubuntu) and try again" >&2; \
		exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# The package itself is installed in place, so that its code is what is in this folder.
$(VENV)/.runtime: $(VENV)/.created requirements.lock pyproject.toml | native-or-slow
	@echo "Installing what lakehouse needs (requirements.lock)"
	@$(PIP_LOCKED) requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@echo "Installing what tests and documentation need (requirements-dev.lock)"
	@$(PIP_LOCKED) requirements-dev.lock
	@touch $@

$(SUPERSET)/.installed: superset/requirements.lock $(VENV)/.runtime
	@echo "Installing Superset in $(SUPERSET) (superset/requirements.lock)"
	@rm -rf $(SUPERSET)
	@$(PYTHON) -m venv $(SUPERSET)
	@$(SUPERSET)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r superset/requirements.lock
	@touch $@

$(VENV)/.bench: $(VENV)/.runtime requirements-bench.lock
	@echo "Installing what benchmarks compare with (requirements-bench.lock)"
	@$(PIP_LOCKED) requirements-bench.lock
	@touch $@
