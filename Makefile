# Everything a person or the CI runs. `make` alone lists it.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$name"; break; }; done)
HEADLESS := $(shell sed -n 's/^opencv-python-headless==/opencv-python-headless==/p' constraints.txt)

# pip is silent for minutes on the training stack: one line for each download of 10 MB and more.
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --no-compile -c constraints.txt
BIG_DOWNLOADS = sed -n -E -u 's/^ *(Downloading|Using cached) ([^ ]+) \(([0-9]{2,}\.[0-9] [MG]B)\).*/  \2  \3/p'
# pip compiles one of the 30,000 modules after another; templates among them are no Python, and stay as they are.
COMPILE = $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true

# Tests marked `real` read these folders; without them they are skipped and say so.
export EDGEWRIGHT_REAL_DATA EDGEWRIGHT_CASES
# Hundreds of processes import the repository, which is compiled once, also where the environment says otherwise.
export PYTHONDONTWRITEBYTECODE :=

# Two workers, a core and about 3 GB each. Every suite ends with its budget (tests/budget.py) and its 25 slowest.
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -q -n $(WORKERS) --durations=25 --durations-min=1
TRAIN = $$(grep -rlF pytest.mark.trains --include='test_*.py' tests)
# As processors without AVX-512 compute, and as those without any of it.
CAPABILITIES = 'ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2' 'ATEN_CPU_CAPABILITY=default'

# Its maintainers keep it until 2027 and say so in every build.
MKDOCS = NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.PHONY: help setup demo test test-slow test-all test-faults test-power test-capabilities check docs format constraints bench clean

help:  ## list the commands
	@sed -n -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(VENV)/.dev  ## build .venv with everything, the development tools included (about 7 GB)

demo: $(VENV)/.factory  ## the whole life cycle on the simulated camera, ends with report.html
	@$(BIN)/edgewright run demo

test: $(VENV)/.dev  ## all tests but the slow ones
	@$(PYTEST) -m "not slow"

test-slow: $(VENV)/.dev  ## the slow ones: fresh environments, a system without libGL, real photographs
	@$(PYTEST) -m slow

test-all: $(VENV)/.dev  ## both suites in one session, which share their toy run, servers and trainings
	@$(PYTEST)

test-faults: $(VENV)/.dev  ## what is killed, restarted or cut while a run goes on (docs/faults.md); half an hour of waiting
	@$(BIN)/python -m pytest -q -m faults -rP --durations=0 --durations-min=1 tests/faults

test-power: $(VENV)/.dev  ## the power is cut, and the disk broken, at every call of the device's agent; counts how often
	@$(PYTEST) -m power

test-capabilities: $(VENV)/.dev  ## the tests that learn something, as on processors without AVX-512
	@for capability in $(CAPABILITIES); do echo "-- $$capability"; env $$capability $(PYTEST) -m trains $(TRAIN); done

check: $(VENV)/.dev  ## ruff, mypy, import-linter, the pages: what CI runs first
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=. $(BIN)/lint-imports
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; $(MKDOCS) --site-dir "$$folder"

docs: $(VENV)/.dev  ## the pages as a site: build/site/index.html
	@$(MKDOCS)

format: $(VENV)/.dev  ## let ruff format and sort imports
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --select I .

bench: $(VENV)/.dev  ## measure the hot paths on this machine
	@for file in benchmarks/*.py; do echo "== $$file"; PYTHONPATH=. $(BIN)/python "$$file"; done

constraints: $(VENV)/.dev  ## write constraints.txt from .venv
	@$(BIN)/python docs/write_constraints.py

clean:  ## remove build results and caches (neither .venv nor your runs in .edgewright)
	@rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	@find edgewright flows tasks tests deployments docs -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "edgewright needs Python 3.11 or newer; got: $$("$(or $(PYTHON),python3)" --version 2>&1 | head -1)." \
		"Next: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@[ "$$(uname -s)" = Linux ] || { echo "edgewright runs on Linux (x86-64, aarch64); this is $$(uname -s)" >&2; exit 1; }
	@echo "creating $(VENV) with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv $(VENV)

# ultralytics requires opencv-python, which needs libGL.so.1, absent from slim systems. Both packages hold the same `cv2`
# folder, so the headless files go over the others. opencv-python stays listed as installed: pip check is content and a
# later `pip install` does not bring its files back.
$(VENV)/.factory: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing the pipeline and the training stack (about 6 GB, minutes)"
	@$(INSTALL) -e '.[factory]' | $(BIG_DOWNLOADS)
	@echo "OpenCV without libGL"
	@$(INSTALL) -q --no-deps --force-reinstall '$(HEADLESS)'
	@$(COMPILE)
	@touch $@

$(VENV)/.dev: $(VENV)/.factory
	@echo "installing the development tools"
	@$(INSTALL) -e '.[dev]' | $(BIG_DOWNLOADS)
	@$(COMPILE)
	@touch $@
