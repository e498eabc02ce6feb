SHELL := /bin/sh
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@2026.1
ARGS ?=

# Binaries are built as functions are, so that what both need is compiled once.
export CGO_ENABLED = 0
BUILD := go build -trimpath -ldflags "-s -w -X main.version=$$(cat VERSION)"
