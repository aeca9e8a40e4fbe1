# Thin verbs over CMake; the README explains them. demo and test share one build, in build/release.
BUILD := build/release
PROGRAM := $(BUILD)/bin/lifeboat
NAME ?=
RUNS ?= 5
# Seconds; the tuned profile is 1.
LEASE ?= 3
# Of outage.false_fences.
LOAD_MINUTES ?= 5
# Folder of the harness that measures other failover tools; it is not part of this repository.
PEERS ?= ../shared/peers
# Tests with real parts keep two cores busy with three at a time: they mostly wait for leases and servers.
JOBS ?= 3
MINUTES ?= 30
# The first seed of a soak; each day begins elsewhere.
SEED ?= $(shell date +%y%m%d000)
# Tests on network namespaces need root.
WITHOUT := $(shell [ "$$(id -u)" -eq 0 ] || echo -LE network)
# More words for ctest, such as --repeat until-fail:5.
CTEST ?=

.PHONY: help setup build test unit check demo soak bench bench-gate bench-backups bench-peers fmt health clean

help:
	@echo "make demo    tell the whole story on this machine (sets up and builds first)"
	@echo "make test    all tests (sets up and builds first)"
	@echo "make unit    unit tests only         make check   format, layers, tidy, unit tests"
	@echo "make bench   measure; NAME=outage runs the figures that begin with 'outage.'; RUNS=5 LEASE=3 LOAD_MINUTES=5"
	@echo "make bench-backups verification of backups beside the stock tools, on a cluster of 6 GB; needs 30 GB of disk, 10 minutes"
	@echo "make bench-peers   the same faults for other failover tools, in one table; PEERS=folder of their harness"
	@echo "make soak    chaos on real processes, one seed after another, for MINUTES=30; the result goes to docs/soak.md"
	@echo "make fmt     format the code         make health  sizes, duplicate names, marks of unfinished work"

setup:
	@scripts/setup.sh

$(BUILD)/build.ninja: CMakeLists.txt CMakePresets.json
	@cmake --preset release >/dev/null

build: setup $(BUILD)/build.ninja
	@cmake --build $(BUILD)

demo: build
	@$(PROGRAM) demo

test: build
	@[ -z "$(WITHOUT)" ] || echo "NOT RUN: the tests of label 'network', which need root: sudo make test; chaos cuts nothing without root"
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS) $(WITHOUT) $(CTEST)

unit: build
	@ctest --test-dir $(BUILD) --output-on-failure -j 2 -L unit

check: build
	@scripts/check.sh

soak: build
	@scripts/soak.sh $(BUILD) $(MINUTES) $(SEED)

bench: build
	@$(BUILD)/bin/lifeboat_bench $(NAME) --runs $(RUNS) --lease $(LEASE) --minutes $(LOAD_MINUTES)

bench-gate: build
	@$(BUILD)/bin/lifeboat_bench_gate

bench-backups: build
	@bench/backup_verify.py

bench-peers: build
	@bench/peers.py --peers $(PEERS) --bench $(BUILD)/bin/lifeboat_bench --runs $(RUNS) $(if $(wildcard $(PEERS)/RESULTS.md),--quote $(PEERS)/RESULTS.md)

fmt:
	@git ls-files '*.cc' '*.h' | xargs clang-format -i

health:
	@scripts/health.sh

clean:
	@rm -rf build
