# What this project can do, one word each. PIP passes options on to pip: on a machine without GPU
#   make install PIP="--index-url ADDRESS"
# with the address of an index that holds PyTorch's CPU builds spares the download of CUDA.
PYTHON ?= python3
PIP ?=
FAULTS ?=
BENCH ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo install test faults bench check audit sbom clean

help:            ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/'

demo: install    ## watch chest X-rays travel to the node and back, with nothing at hand
	$(BIN)/chexnode demo

install: $(INSTALLED)   ## everything into .venv

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "chexnode needs Python 3.11 or newer with its venv module: apt-get install -y python3 python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt $(PIP) torch
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt $(PIP) --editable '.[dev,onnx,postgresql,training]'
	@touch $@

test: check      ## lint, types, walls, then every test; says which peers are missing
	@$(BIN)/python tests/missing.py
	$(BIN)/python -m pytest

faults: install  ## the long schedule of faults, then its table; goes on where it was stopped (FAULTS="--minutes 15")
	$(BIN)/python -m tests.faults $(FAULTS)

bench: install   ## every benchmark, in under 20 minutes; writes docs/performance.md (BENCH="receive ledger": some of them)
	$(BIN)/python -m benchmarks $(BENCH)

check: install   ## ruff, mypy --strict, import-linter
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: install   ## known vulnerabilities in the pinned versions; AUDIT="…" are options of pip-audit
	@$(BIN)/python deploy/audit.py $(AUDIT)

sbom: install    ## build/sbom.cdx.json: what .venv holds, as CycloneDX
	@mkdir -p build
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible $(BIN)/python --output-file build/sbom.cdx.json

clean:           ## forget .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
