# Each step of CI is a target here; `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go
LISTEN ?= 127.0.0.1:8080
SCENARIO ?= journey

# PostgreSQL's server programs are not in the PATH on Debian and its kin.
export PATH := $(PATH):$(lastword $(sort $(wildcard /usr/lib/postgresql/*/bin)))

# Third-party programs are built from source, once for all checkouts of this user.
LINT = $(shell tools/build.sh golangci-lint)
export GO
export GOLANGCI_LINT_CACHE := $(CURDIR)/.cache/golangci-lint

# Packages whose tests run whole processes, browsers or broker suites; they are not part
# of check-fast.
SLOW := services/basis|services/edge/edged|platform/bus/jetstream|platform/consultest|tools/demo|tools/basisctl|loadtest|deploy
# Tests of a whole cluster: they need the machine for themselves.
CLUSTER := tools/cluster
HISTORY = $(shell git cat-file -e $$(cat tools/cluster/upgrade/previous)^{commit} 2>/dev/null && echo here)
CLUSTER_STEPS = cluster-demo $(if $(HISTORY),test-upgrade,no-history) test-faults
GOTEST := $(GO) test -timeout 15m

# Files that `make generate` writes and that are committed.
GENERATED := contracts/gen contracts/asyncapi.yaml docs/errors.md

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^##@/ {print "\n" substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ use

.PHONY: run
run: basis ## build and start everything on 127.0.0.1:8080 with the data folder ./data
	exec bin/basis --data ./data --listen $(LISTEN) --demo

.PHONY: demo
demo: basis ## drive the whole journey over HTTP and print it (URL=… DATA=…: a running basis)
	$(GO) run ./tools/demo $(if $(URL),--url $(URL)) $(if $(DATA),--data $(DATA))

.PHONY: cluster
cluster: build ## the whole cluster on this machine: PostgreSQL, 3 NATS nodes, Consul, 2 of each service, edge (LISTEN=…)
	$(GO) run ./tools/cluster --listen $(LISTEN)

.PHONY: cluster-demo
cluster-demo: build ## start a fresh cluster, drive the journey on it, stop everything
	@dir=$$(mktemp -d); chmod 711 "$$dir"; trap 'rm -rf "$$dir"' EXIT; $(GO) build -o "$$dir/demo" ./tools/demo; \
	$(GO) run ./tools/cluster --data "$$dir/data" --listen 127.0.0.1:0 -- sh -c "$$dir/demo --url \$$CLUSTER_URL --data \$$CLUSTER_DATA"

.PHONY: consul
consul: ## build Consul once into the user's cache (about five minutes), and print where
	@tools/build.sh consul

.PHONY: loadtest
loadtest: ## k6: SCENARIO=journey URL=… DATA=… RATE=… (without URL a fresh basis; loadtest/README.md)
	loadtest/run.sh $(SCENARIO)

.PHONY: bench
bench: basis ## measure requests/s and CPU per request (BENCHFLAGS=…)
	$(GO) run ./loadtest/bench $(BENCHFLAGS)

.PHONY: bench-treasury
bench-treasury: ## measure the import of bank statements and the closing of a day with a million payments, on both databases
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 30m ./services/payment/treasury

.PHONY: latency
latency: build ## start a fresh cluster, drive it, measure how long events take (LATENCYFLAGS=…); writes loadtest/results/latency.md
	$(GO) run ./loadtest/latency $(LATENCYFLAGS)

.PHONY: build
build: ## build every program into bin/
	$(GO) build -o bin/ ./services/... ./tools/basisctl/...

.PHONY: basis
basis:
	@$(GO) build -o bin/ ./services/basis/... ./tools/basisctl/...

##@ test

.PHONY: test
test: ## everything: what is missing is installed, then all checks, all tests, the journey, a cluster
	@for step in setup check-fast verify integration deploy-test demo cluster-demo test-faults-short; do \
		echo "==> make $$step"; began=$$SECONDS; \
		$(MAKE) $$step || { echo "==> make $$step FAILED after $$((SECONDS - began)) s"; exit 1; }; \
		echo "==> make $$step: ok in $$((SECONDS - began)) s"; \
	done; \
	echo "==> make test: all passed in $$SECONDS s"

.PHONY: check-fast
check-fast: fmt vet lint arch spec unit ## format, vet, lint, architecture, contracts, unit tests

.PHONY: fmt
fmt: ## is every file formatted (make fix formats)
	$(LINT) fmt --diff

.PHONY: fix
fix: ## format every file
	$(LINT) fmt

.PHONY: vet
vet: ## go vet
	$(GO) vet ./...

.PHONY: lint
lint: ## golangci-lint with .golangci.yml
	$(LINT) run

.PHONY: arch
arch: ## who imports whom (tools/archtest)
	$(GO) run ./tools/archtest

.PHONY: spec
spec: ## each route is in the OpenAPI and each operation has a route (tools/speccheck)
	$(GO) run ./tools/speccheck

.PHONY: unit
unit: ## all tests but the slow ones
	@packages=$$($(GO) list ./... | grep -Ev '^basisdienste/($(SLOW)|$(CLUSTER))(/|$$)'); $(GOTEST) $$packages

.PHONY: integration
integration: ## all tests but the cluster's: the slow ones too (kill, browser, broker, Consul)
	@packages=$$($(GO) list ./... | grep -Ev '^basisdienste/($(CLUSTER)|deploy/(deploytest|compose))(/|$$)'); $(GOTEST) $$packages

.PHONY: deploy-test
deploy-test: ## the deployment files, each read or run by its own program
	$(GOTEST) -count=1 ./deploy/deploytest ./deploy/compose/...
	cd deploy/rendertest && $(GOTEST) -count=1 ./... && $(LINT) run -c ../../.golangci.yml

.PHONY: test-cluster
test-cluster: $(CLUSTER_STEPS) ## journey, rolling upgrade and all faults on a cluster; a quarter of an hour, not part of test

.PHONY: test-faults-short
test-faults-short: build ## those faults that take less than a quarter of a minute each, and a smaller backlog
	FAULTS=short $(GOTEST) -count=1 -v ./tools/cluster/faults

.PHONY: test-faults
test-faults: build ## kill, cut and stall what the services depend on, count afterwards; writes docs/faults.md
	$(GO) test -timeout 40m -count=1 -v ./tools/cluster/faults

.PHONY: test-upgrade
test-upgrade: ## exchange every instance of a cluster under traffic, from the release before and back
	$(GOTEST) -count=1 -v ./tools/cluster/upgrade

.PHONY: test-books
test-books: ## 100,000 random operations on payments with crashes and lost answers; the books are right (PAYMENT_SEED=…)
	PAYMENT_OPERATIONS=25000 PAYMENT_OPEN=10000 $(GO) test -timeout 60m -count=1 -v -run 'TestRandom|TestSweep' ./services/payment

# The release before is built from the repository's history, which a shallow clone lacks.
.PHONY: no-history
no-history:
	@echo "test-upgrade is left out: commit $$(cat tools/cluster/upgrade/previous) is not here; git fetch --unshallow brings it"

.PHONY: browser
browser: ## the tests in a real browser
	$(GOTEST) -count=1 -v -run 'Browser|Axe' ./...

.PHONY: verify
verify: ## is generated code up to date (mends it, and fails if it was not)
	@sums() { find $(GENERATED) -type f 2>/dev/null | sort | xargs -r sha256sum; }; \
	before=$$(sums); $(MAKE) generate; after=$$(sums); \
	if [ "$$before" != "$$after" ]; then \
		echo "stale, and now written anew by make generate:"; \
		diff <(echo "$$before") <(echo "$$after") | awk '/^[<>]/ {print "  " $$3}' | sort -u || true; \
		echo "look at them and commit them"; exit 1; \
	fi
	@$(GO) mod tidy -diff || { echo "go.mod is stale: run go mod tidy"; exit 1; }

##@ tools

.PHONY: generate
generate: ## write generated code, contracts/asyncapi.yaml and docs/errors.md
	$(GO) run ./tools/eventgen
	$(GO) generate ./...
	$(GO) run ./tools/errdoc

.PHONY: tools
tools: ## build every third-party program that the targets use, into the user's cache
	@for program in $(notdir $(wildcard tools/programs/*)); do tools/build.sh $$program; done

.PHONY: setup
setup: ## install what the tests need and is missing (tools/setup.sh --help)
	tools/setup.sh
