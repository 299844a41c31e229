# Everything a developer runs. `make` alone lists it. Each target does all its own set-up, in .venv;
# what that needs is Python 3.11 or later, a C compiler and make.

.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

ifndef PYTHON
PYTHON := $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$python; break; }; done)
endif
# Processes that share the tests.
WORKERS ?= 2
FUZZ_SECONDS ?= 20
# More for pytest: make test ARGS='-k sticky'
ARGS ?=

# All benchmarks, unless ARGS names files of them.
BENCHES = $(if $(findstring benchmarks/,$(ARGS)),,benchmarks)

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# One file's tests stay in one process, because some files share one costly set-up.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
NOW := 2026-11-01T12:00:00Z

CORE := $(wildcard ext/whichvariant/*.pxd ext/whichvariant/_core/*.p[yx][xd] \
	ext/whichvariant/_core/*.h src/whichvariant/profiles/*.py)

# The sanitizers' libraries must come first in the process. Leaks are not looked for: the
# interpreter leaves some by design. Node and compilers, which some tests start, cannot run so.
SANITIZED = LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:abort_on_error=1 \
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	PYTHONMALLOC=malloc PYTHONPATH=$(CURDIR)/build/sanitize/site

# Linters start each other by name.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# The kind of build is the target's business.
unexport WHICHVARIANT_BUILD PYTHONPATH

# What does not touch the core, or only through what other tests have called already: other builds
# of the core need not see it.
APART = $(addprefix --ignore=tests/,store service profiles server client cluster sources events \
	entries web openfeature_provider combinations sdk packaging typing benchmarks \
	replay/test_page.py cli/test_cli_profiles.py cli/test_cli_store.py cli/test_cli_serve.py)

say = @echo "==> $(1)"

.PHONY: help
help:
	@echo 'make TARGET, where TARGET is one of'
	@sed -n 's/^\([a-z-]*\):.*## /\1:/p' $(MAKEFILE_LIST) | awk -F: '{ printf "  %-14s %s\n", $$1, $$2 }'

# ---- what people run ------------------------------------------------------------------------------

.PHONY: demo
demo: $(STAMPS)/core  ## what each visitor of the fixture shop gets, readably
	@$(BIN)/whichvariant select --config fixtures/storefront/space.json \
		--profile fixtures/storefront/profiles.ndjson --now $(NOW)

.PHONY: test
test: $(STAMPS)/test  ## the test suite
	$(call say,pytest in $(WORKERS) processes)
	@$(PYTEST) $(ARGS)

.PHONY: check
check: $(STAMPS)/check  ## formatting, lint, types, stubs, layers
	@failed=; \
	run() { echo "$$*"; "$$@" || failed="$$failed ($$*)"; }; \
	run ruff check . ; \
	run ruff format --check . ; \
	run mypy ; \
	run cython-lint ext ; \
	run lint-imports --no-logo ; \
	run stubtest whichvariant._core --allowlist tests/typing/stubtest-allowlist.txt ; \
	if [ -n "$$failed" ]; then echo "not clean:$$failed" >&2; exit 1; fi; \
	echo 'all checks are clean'

.PHONY: format
format: $(STAMPS)/check  ## let ruff format, and fix what it can
	@ruff format .
	@ruff check --fix .

.PHONY: docs
docs: $(STAMPS)/docs  ## the documentation as a site, in build/site
	$(call say,build/site)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q

.PHONY: bench
bench: $(STAMPS)/bench  ## the benchmarks, timed, with ratios to what else one could use
	@$(BIN)/python -m pytest $(BENCHES) -q $(ARGS)

.PHONY: bench-smoke
bench-smoke: $(STAMPS)/bench  ## every benchmark once, untimed
	@WHICHVARIANT_BENCH_PASSES=1 $(BIN)/python -m pytest $(BENCHES) -q --benchmark-disable $(ARGS)

.PHONY: engines-test
engines-test: $(VENV)-engines/stamp  ## replays on Ray and Spark (installs them; Spark needs Java)
	$(call say,Ray and Spark)
	@WHICHVARIANT_ENGINES=required $(VENV)-engines/bin/python -m pytest -m engines \
		tests/replay/test_engines.py $(ARGS)

.PHONY: cluster-test
cluster-test: $(STAMPS)/test  ## ten minutes of faults to three servers and PostgreSQL (WHICHVARIANT_CLUSTER_SECONDS)
	$(call say,servers and their connections and PostgreSQL fail under load)
	@$(BIN)/python -m tests.cluster.run --store postgresql $(ARGS)

.PHONY: bench-peers
bench-peers: $(VENV)-peers/stamp  ## side by side with other engines (installs them)
	@$(VENV)-peers/bin/python -m benchmarks.peers.run $(ARGS)

.PHONY: build
build: $(STAMPS)/check  ## wheel and sdist, in dist/
	$(call say,wheel and sdist)
	@rm -rf dist
	@$(BIN)/python -m build
	@ls -l dist

.PHONY: debug-test
debug-test: build/debug/stamp $(STAMPS)/test  ## the test suite on a core with bounds checks
	$(call say,pytest on the debug build)
	@PYTHONPATH=$(CURDIR)/build/debug/site $(BIN)/python -c "$$CHECK_BUILD" debug
	@PYTHONPATH=$(CURDIR)/build/debug/site $(PYTEST) $(APART) $(ARGS)

.PHONY: sanitize
sanitize: build/sanitize/stamp $(STAMPS)/test  ## the test suite under the address and undefined-behaviour sanitizers
	$(call say,pytest under the sanitizers)
	@$(SANITIZED) $(BIN)/python -c "$$CHECK_BUILD" sanitize
	@$(SANITIZED) WHICHVARIANT_EXAMPLES=$${WHICHVARIANT_EXAMPLES:-50} \
		$(PYTEST) -m 'not sdk and not toolchain and not engines' \
		--ignore=tests/replay --ignore=tests/cli --ignore=tests/loading --ignore=tests/contracts \
		$(APART) $(ARGS)

.PHONY: fuzz-smoke
fuzz-smoke: build/sanitize/stamp $(STAMPS)/test  ## a short run of the fuzzers under the sanitizers
	@for target in scanner programs records arrays msgpack; do \
		echo "==> fuzzing: $$target, $(FUZZ_SECONDS) s"; \
		$(SANITIZED) $(BIN)/python tests/robustness/fuzz_scanner.py --target $$target \
			--seconds $(FUZZ_SECONDS); \
	done

.PHONY: simd-test
simd-test: $(STAMPS)/test  ## conformance and properties on every vector level of this processor
	@for level in $$($(BIN)/python -c "$$PRINT_LEVELS"); do \
		echo "WHICHVARIANT_SIMD=$$level"; \
		WHICHVARIANT_SIMD=$$level $(PYTEST) -q tests/conformance tests/properties $(ARGS); \
	done

.PHONY: clean
clean:  ## remove everything that was made here, .venv too
	rm -rf $(VENV) $(VENV)-peers $(VENV)-engines build dist .cache .benchmarks .hypothesis
	rm -rf .mypy_cache .ruff_cache .import_linter_cache
	rm -rf src/*.egg-info src/whichvariant/*/*.so
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

# ---- set-up -----------------------------------------------------------------------------------------

define CHECK_PYTHON
import os, shutil, sys, sysconfig
missing = []
if sys.version_info < (3, 11):
    sys.exit("whichvariant needs Python 3.11 or later, and %s is %s.\n"
             "Name another one: make PYTHON=python3.12" % (sys.executable, sys.version.split()[0]))
try:
    import ensurepip, venv
except ImportError:
    missing.append(("the venv module", "python3-venv"))
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    missing.append(("Python's C headers", "python3-dev"))
compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
if not shutil.which(compiler):
    missing.append(("a C compiler (%s)" % compiler, "gcc"))
if missing:
    sys.exit("Not here yet: %s.\nOn Debian: apt-get install %s"
             % (", ".join(what for what, _ in missing), " ".join(name for _, name in missing)))
endef
export CHECK_PYTHON

define BUILD_REQUIREMENTS
import tomllib
with open("pyproject.toml", "rb") as file:
    print("\n".join(tomllib.load(file)["build-system"]["requires"]))
endef
export BUILD_REQUIREMENTS

define CHECK_BUILD
import pathlib, sys
from whichvariant._core import hashing
if pathlib.Path("build", sys.argv[1]).resolve() not in pathlib.Path(hashing.__file__).parents:
    sys.exit("the core under test is not the " + sys.argv[1] + " build: " + hashing.__file__)
endef
export CHECK_BUILD

define PRINT_LEVELS
from whichvariant._core.hashing import supported_simd_levels
print(*supported_simd_levels())
endef
export PRINT_LEVELS

$(STAMPS)/venv:
	$(call say,virtual environment in $(VENV))
	@if [ -z "$(PYTHON)" ]; then \
		echo 'No Python 3.11 or later was found. Name one: make PYTHON=/path/to/python3' >&2; \
		echo 'On Debian: apt-get install python3 python3-venv python3-dev gcc' >&2; exit 1; fi
	@$(PYTHON) -c "$$CHECK_PYTHON"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1'
	@mkdir -p $(STAMPS)
	@touch $@

$(STAMPS)/build: pyproject.toml $(STAMPS)/venv
	@$(BIN)/python -c "$$BUILD_REQUIREMENTS" > $(VENV)/build-requirements.txt
	@$(PIP) install --upgrade -r $(VENV)/build-requirements.txt
	@touch $@

# pip compiles everything anew, so it installs only once; after that a change is compiled in place.
$(STAMPS)/core: $(STAMPS)/build setup.py $(CORE)
	$(call say,the package with its compiled core: under a minute)
	@if [ $(STAMPS)/editable -nt $(STAMPS)/build ]; then \
		$(BIN)/python setup.py -q build_ext --inplace; \
	else \
		$(PIP) install --no-build-isolation -e .; touch $(STAMPS)/editable; \
	fi
	@touch $@

$(STAMPS)/test: $(STAMPS)/core
	@$(PIP) install --group test
	@touch $@

$(STAMPS)/bench: $(STAMPS)/test
	@$(PIP) install --group bench
	@touch $@

$(STAMPS)/docs: $(STAMPS)/core
	@$(PIP) install --group docs
	@touch $@

$(STAMPS)/check: $(STAMPS)/core
	@$(PIP) install --group check
	@touch $@

# Other kinds of build go to a folder that is put before everything else when they are tested.
build/%/stamp: $(STAMPS)/build setup.py $(CORE) $(shell find src -name '*.py' 2>/dev/null)
	$(call say,the $* build of the core)
	@rm -rf build/$*/site
	@WHICHVARIANT_BUILD=$* $(PIP) install --no-build-isolation --no-deps --target build/$*/site .
	@touch $@

build/sanitize/stamp: export CC = gcc

$(VENV)-engines/stamp: pyproject.toml setup.py $(CORE)
	$(call say,Ray and Spark in $(VENV)-engines)
	@$(PYTHON) -c "$$CHECK_PYTHON"
	@$(PYTHON) -m venv --clear $(VENV)-engines
	@$(VENV)-engines/bin/python -m pip --disable-pip-version-check -qq install \
		'.[ray,spark]' pytest hypothesis
	@touch $@

$(VENV)-peers/stamp: benchmarks/peers/requirements.txt pyproject.toml setup.py $(CORE)
	$(call say,other engines in $(VENV)-peers)
	@$(PYTHON) -c "$$CHECK_PYTHON"
	@$(PYTHON) -m venv --clear $(VENV)-peers
	@$(VENV)-peers/bin/python -m pip --disable-pip-version-check -qq install \
		-r benchmarks/peers/requirements.txt .
	@touch $@
