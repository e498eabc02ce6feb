# Builds, runs and tests everything. "make help" lists the targets. ARGS are flags for the command that a
# target runs: make bench ARGS=-help, for example.
SHELL := /bin/sh
ARGS ?=
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)

# Commands, functions and linters are built with the same flags, so packages that they share are compiled
# once. Leaving out debug information saves a sixth of the time of a first build.
LEAN  := -trimpath -gcflags=all=-dwarf=false
LINK  := -s -w -X github.com/hearthfaas/hearth/cli.described=$(VERSION)
BUILD := CGO_ENABLED=0 sh scripts/progress.sh 'hearth and bakery' $(LEAN) -buildvcs=false \
	-ldflags "$(LINK)"
BIN   ?= bin

.PHONY: help up demo build images test test-docker chaos lint bench lab sim screenshots fuzz notices docs \
	clean go
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: go ## run the bakery on this machine
	@sh scripts/redis.sh
	@[ -x bin/hearth ] || echo "  build    hearth and bakery: the first time takes a minute or two"
	@$(MAKE) --no-print-directory build
	@exec bin/hearth up --callback-allow 127.0.0.1:9000,127.0.0.1:9001 \
		--on-ready 'bin/bakery open --manager-key-file \
			"$${MANAGER_KEY_FILE:-$$HEARTH_SECRETS/openfaas-fn/manager-key}"' $(ARGS)

demo: go ## run the bakery under load, open its pages, and audit it at the end
	@sh scripts/redis.sh
	@$(MAKE) --no-print-directory build
	@exec sh scripts/demo.sh $(ARGS)

build: go ## build hearth and bakery into bin/
	@mkdir -p $(BIN)
	@$(BUILD) -o $(BIN)/ ./cmd/hearth ./cmd/bakery

ARCHS ?= amd64 arm64
images: build ## build Docker images for ARCHS, without pulling any
	@sh scripts/images.sh '$(or $(VERSION),devel)' '$(ARCHS)'

go:
	@command -v go >/dev/null || { \
		echo "Go is missing: install 1.21 or newer from https://go.dev/dl/, or apt-get install golang-go"; \
		exit 1; }
	@case $$(go env GOVERSION) in go1.[0-9]|go1.[0-9].*|go1.1[0-9]|go1.1[0-9].*|go1.20|go1.20.*) \
		echo "$$(go env GOVERSION) is too old: install Go 1.21 or newer from https://go.dev/dl/;" \
			"it fetches the toolchain that Hearth needs"; exit 1;; esac

lint: export CGO_ENABLED = 0
lint: export GOFLAGS = $(LEAN)
lint: go bin/tools/gotestsum ## check format and code, and compile for macOS
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { \
		echo "not formatted with gofmt: $$unformatted"; exit 1; }
	@echo "go vet, in three modules"
	@go vet ./...
	@cd template/go-http && go vet ./...
	@cd bench && go vet ./...
	@echo "staticcheck"
	@bin/tools/staticcheck ./...
	@echo "revive: doc comments, names, line length (tools/revive.toml)"
	@bin/tools/revive -config tools/revive.toml -set_exit_status ./...
	@cd bench && ../bin/tools/revive -config ../tools/revive.toml -set_exit_status ./...
	@sh scripts/width.sh
	@echo "errcheck"
	@bin/tools/errcheck ./...
	@cd bench && ../bin/tools/errcheck ./...
	@echo "misspell"
	@bin/tools/misspell -error -i $(MISSPELT) $$(git ls-files | grep -vE '$(NOT_SPELT)')
	@for os in linux darwin; do echo "deadcode for $$os"; \
		dead=$$(GOOS=$$os bin/tools/deadcode -test ./...) || exit 1; \
		[ -z "$$dead" ] || { echo "$$dead"; exit 1; }; done

# Tests misspell these on purpose. Licence texts, checksums and recorded data are not ours to spell.
MISSPELT  := casheir
NOT_SPELT := third-party\.txt$$|go\.sum$$|/testdata/|/static/vendor/

# One command builds all tools, again whenever a version changes. With revive, errcheck and misspell, a first
# build takes 11 seconds of CPU more than the 67 that the others take (2026-11-27, two cores).
bin/tools/gotestsum: tools/go.mod tools/go.sum
	@echo "building the linters and the test runner"
	@CGO_ENABLED=0 GOFLAGS='$(LEAN)' go build -modfile=tools/go.mod -o bin/tools/ \
		honnef.co/go/tools/cmd/staticcheck golang.org/x/tools/cmd/deadcode gotest.tools/gotestsum \
		github.com/mgechev/revive github.com/kisielk/errcheck github.com/golangci/misspell/cmd/misspell
	@touch $@

# Prints a line for each package, the output of failed tests only, and a summary. Lint vets the tests. Results
# are not cached: go test does not know that some tests build binaries. The time limit suits a busy machine.
RUN_TESTS = CGO_ENABLED=1 $(TESTS_IN) bin/tools/gotestsum --format pkgname --format-hide-empty-pkg -- \
	-race -vet=off -count=1 -timeout 30m -gcflags=all=-dwarf=false

test: go ## install missing tools, lint, and run all tests
	@sh scripts/deps.sh redis-server gcc
	@sh scripts/deps.sh chromium || echo "Chromium is missing: the browser test is skipped"
	@$(MAKE) --no-print-directory lint
	@$(RUN_TESTS) ./...
	@cd bench && CGO_ENABLED=0 go test $(LEAN) -vet=off -count=1 ./sim

# One package at a time: one of them restarts the engine. Modules are fetched
# first: the engine has no network.
test-docker: TESTS_IN = ENGINE_NEEDS="docker-registry docker-compose prometheus" sh scripts/engine.sh
test-docker: go bin/tools/gotestsum ## run the container tests (root on Linux, else skipped)
	@sh scripts/deps.sh redis-server gcc
	@go mod download
	@$(RUN_TESTS) -p 1 ./internal/docker ./test/docker

chaos: go ## inject faults for minutes and prove that nothing is lost
	@sh scripts/deps.sh redis-server
	@go run $(LEAN) ./test/chaos $(ARGS)

bench: go ## measure, and print one table
	@sh scripts/deps.sh redis-server wrk
	@$(MAKE) --no-print-directory build
	@cd bench && go mod download && go build $(LEAN) -o ../bin/bench . && \
		ENGINE=optional sh ../scripts/engine.sh ../bin/bench $(ARGS)

lab: go ## compare a monolith, a fleet and functions (20 min)
	@sh scripts/deps.sh redis-server
	@$(MAKE) --no-print-directory build
	@cd bench && go build $(LEAN) -o ../bin/lab ./lab && exec ../bin/lab $(ARGS)

sim: go ## simulate the autoscaler
	@cd bench && go run $(LEAN) ./sim $(ARGS)

screenshots: go ## make the pictures of the console in docs/
	@sh scripts/deps.sh redis-server chromium
	@$(MAKE) --no-print-directory build
	@go run $(LEAN) ./test/screenshots $(ARGS)

FUZZTIME ?= 20s
fuzz: go ## run each fuzz test for FUZZTIME
	@for target in $$(git grep -lE '^func Fuzz' -- '*_test.go'); do \
		for name in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9]*).*/\1/p' $$target); do \
			echo "$$name in $$(dirname $$target)"; \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x \
				./$$(dirname $$target) || exit 1; \
		done; done

notices: go ## update licence texts after a change of go.mod
	HEARTH_WRITE_NOTICES=1 go test -count=1 -run TestNoticesAreOfWhatIsLinked ./internal/notices

docs: go ## generate docs/reference after a change of commands
	HEARTH_WRITE_DOCS=1 go test $(LEAN) -vet=off -count=1 -run TestReferenceIsCurrent ./cmd/hearth

clean: ## remove builds and state, queued calls included
	@if [ -f .hearth/lock ] && \
		kill -0 $$(sed -nE 's/.*"pid":([0-9]+).*/\1/p' .hearth/lock) 2>/dev/null; then \
		echo "hearth is running here: stop it first"; exit 1; fi
	rm -rf .hearth bin build
