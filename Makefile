# Everything is built here, and run from here. "make help" lists the targets.
SHELL := /bin/sh
ARGS ?=
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)

# All that is built has the flags that functions are built with, and the linters' too: so what they share is compiled once.
# What debuggers read is not made, as -s -w would drop it: that saves a sixth of the time of a first build.
LEAN  := -trimpath -gcflags=all=-dwarf=false
BUILD := CGO_ENABLED=0 sh scripts/progress.sh 'hearth and bakery' $(LEAN) -buildvcs=false -ldflags "-s -w -X github.com/hearthfaas/hearth/cli.described=$(VERSION)"
BIN   ?= bin

.PHONY: help up build images test test-docker chaos lint bench lab sim fuzz notices docs clean go
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: go ## run the bakery on this machine; ARGS are flags of hearth up
	@sh scripts/redis.sh
	@[ -x bin/hearth ] || echo "  build    hearth and bakery: the first time takes a minute or two"
	@$(MAKE) --no-print-directory build
	@exec bin/hearth up --admin-listen 127.0.0.1:8081 --callback-allow 127.0.0.1:9000,127.0.0.1:9001 --on-ready 'bin/bakery --manager-key-file "$${MANAGER_KEY_FILE:-$$HEARTH_SECRETS/openfaas-fn/manager-key}" open' $(ARGS)

build: go ## build hearth and bakery into bin/
	@mkdir -p $(BIN)
	@$(BUILD) -o $(BIN)/ ./cmd/hearth ./cmd/bakery

ARCHS ?= amd64 arm64
images: build ## make Docker images of hearth and the bakery, for ARCHS; nothing is pulled
	@sh scripts/images.sh '$(or $(VERSION),devel)' '$(ARCHS)'

go:
	@command -v go >/dev/null || { echo "Go is missing: install any version from 1.21, from https://go.dev/dl/ or with: apt-get install golang-go"; exit 1; }
	@case $$(go env GOVERSION) in go1.[0-9]|go1.[0-9].*|go1.1[0-9]|go1.1[0-9].*|go1.20|go1.20.*) \
		echo "this is $$(go env GOVERSION), and Hearth needs 1.21 or newer, which fetches the toolchain it needs by itself: https://go.dev/dl/"; exit 1;; esac

lint: export CGO_ENABLED = 0
lint: export GOFLAGS = $(LEAN)
lint: go bin/tools/gotestsum ## check the format, vet, run the linters, and check that all of it compiles on macOS too
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "not gofmt'd: $$unformatted"; exit 1; }
	@echo "go vet, in three modules"
	@go vet ./...
	@cd template/go-http && go vet ./...
	@cd bench && go vet ./...
	@echo "staticcheck"
	@bin/tools/staticcheck ./...
	@for os in linux darwin; do echo "deadcode for $$os"; \
		dead=$$(GOOS=$$os bin/tools/deadcode -test ./...) || exit 1; [ -z "$$dead" ] || { echo "$$dead"; exit 1; }; done

# All tools are built by one command, again whenever a version changes.
bin/tools/gotestsum: tools/go.mod tools/go.sum
	@echo "building the linters and the test runner"
	@CGO_ENABLED=0 GOFLAGS='$(LEAN)' go build -modfile=tools/go.mod -o bin/tools/ \
		honnef.co/go/tools/cmd/staticcheck golang.org/x/tools/cmd/deadcode gotest.tools/gotestsum
	@touch $@

# A line for each package, the output of failed tests only, and a summary. Vetted by lint. Never cached: go test does not
# know that a test depends on binaries which it builds itself. The time limit of a package is for a machine that is busy.
RUN_TESTS = CGO_ENABLED=1 $(TESTS_IN) bin/tools/gotestsum --format pkgname --format-hide-empty-pkg -- \
	-race -vet=off -count=1 -timeout 30m -gcflags=all=-dwarf=false

test: go ## install what the tests lack, lint, and run all tests with the race detector
	@sh scripts/deps.sh redis-server gcc
	@sh scripts/deps.sh chromium || echo "there is no Chromium: the test that attacks the operator's browser is skipped"
	@$(MAKE) --no-print-directory lint
	@$(RUN_TESTS) ./...

# One package at a time: one of them restarts the engine. Modules are fetched before, as the engine's network has no way out.
test-docker: TESTS_IN = ENGINE_NEEDS="docker-registry docker-compose prometheus" sh scripts/engine.sh
test-docker: go bin/tools/gotestsum ## run the tests that need containers, with a Docker engine of their own (root on Linux; skipped elsewhere)
	@sh scripts/deps.sh redis-server gcc
	@go mod download
	@$(RUN_TESTS) -p 1 ./internal/docker ./test/docker

chaos: go ## kill, stop, cut, fill and break everything under load for minutes, and prove that nothing is lost or done twice; ARGS are flags of chaos
	@sh scripts/deps.sh redis-server
	@go run $(LEAN) ./test/chaos $(ARGS)

bench: go ## install what measuring lacks, measure, and print one table; ARGS are flags of bench
	@sh scripts/deps.sh redis-server wrk
	@$(MAKE) --no-print-directory build
	@cd bench && go mod download && go build $(LEAN) -o ../bin/bench . && ENGINE=optional sh ../scripts/engine.sh ../bin/bench $(ARGS)

lab: go ## the same day in a monolith, a fixed fleet and autoscaled functions: writes docs/lab, in 20 minutes; ARGS='-quick' takes ten
	@sh scripts/deps.sh redis-server
	@$(MAKE) --no-print-directory build
	@cd bench && go build $(LEAN) -o ../bin/lab ./lab && exec ../bin/lab $(ARGS)

sim: go ## put the autoscaler before simulated calls: a recorded day, a rush, 10,000 functions; ARGS are flags of sim
	@cd bench && go run $(LEAN) ./sim $(ARGS)

FUZZTIME ?= 20s
fuzz: go ## run each fuzz test for FUZZTIME
	@for target in $$(git grep -lE '^func Fuzz' -- '*_test.go'); do \
		for name in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9]*).*/\1/p' $$target); do \
			echo "$$name in $$(dirname $$target)"; go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x ./$$(dirname $$target) || exit 1; \
		done; done

notices: go ## write anew the licence texts that hearth licenses and bakery licenses print, after a change of go.mod
	HEARTH_WRITE_NOTICES=1 go test -count=1 -run TestNoticesAreOfWhatIsLinked ./internal/notices

docs: go ## write the generated parts of docs/reference, after a change of a command, a label or an annotation
	HEARTH_WRITE_DOCS=1 go test $(LEAN) -vet=off -count=1 -run TestReferenceIsCurrent ./cmd/hearth

clean: ## remove everything that was built and kept: queued calls and the bakery's books too
	@if [ -f .hearth/lock ] && kill -0 $$(sed -nE 's/.*"pid":([0-9]+).*/\1/p' .hearth/lock) 2>/dev/null; then \
		echo "hearth is running here: end it first"; exit 1; fi
	rm -rf .hearth bin build
