# Everything is built here, and run from here. "make help" lists the targets.
SHELL := /bin/sh
ARGS ?=
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

# The binaries are built with the flags that functions are built with, so that what they share is compiled once.
BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"

.PHONY: help up build test lint bench fuzz clean go
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: go ## run the bakery on this machine; ARGS are flags of hearth up
	@sh scripts/redis.sh
	@$(MAKE) --no-print-directory build
	@exec bin/hearth up --on-ready 'bin/bakery open' $(ARGS)

build: go ## build hearth and bakery into bin/
	@mkdir -p bin
	@$(BUILD) -o bin/ ./cmd/hearth ./cmd/bakery

go:
	@command -v go >/dev/null || { echo "Go is missing: install any version from 1.21, from https://go.dev/dl/ or with: apt-get install golang-go"; exit 1; }
	@case $$(go env GOVERSION) in go1.[0-9]|go1.[0-9].*|go1.1[0-9]|go1.1[0-9].*|go1.20|go1.20.*) \
		echo "this is $$(go env GOVERSION), and Hearth needs 1.21 or newer, which fetches the toolchain it needs by itself: https://go.dev/dl/"; exit 1;; esac

lint: go ## check the format, vet, and run the linters
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "not gofmt'd: $$unformatted"; exit 1; }
	go vet ./...
	cd template/go-http && go vet ./...
	go tool -modfile=tools/go.mod staticcheck ./...
	GOOS=darwin go vet ./cmd/... ./internal/... ./chain/... ./bakery/...

test: go ## install what the tests lack, lint, and run all tests with the race detector
	@sh scripts/test-deps.sh
	@$(MAKE) --no-print-directory lint
	CGO_ENABLED=1 go test -race ./...

bench: go ## measure, and print one table
	@sh scripts/redis.sh
	@$(MAKE) --no-print-directory build
	@cd bench && go run . $(ARGS)

FUZZTIME ?= 20s
fuzz: go ## run each fuzz test for FUZZTIME
	@for target in $$(grep -rlE '^func Fuzz' --include=*_test.go . | sort); do \
		for name in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9]*).*/\1/p' $$target); do \
			echo "$$name in $$(dirname $$target)"; go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) ./$$(dirname $$target) || exit 1; \
		done; done

clean: ## remove everything that was built and kept: queued calls and the bakery's books too
	@if [ -f .hearth/lock ] && kill -0 $$(sed -nE 's/.*"pid":([0-9]+).*/\1/p' .hearth/lock) 2>/dev/null; then \
		echo "hearth is running here: end it first"; exit 1; fi
	rm -rf .hearth bin build
