#!/bin/sh
# Runs go build and shows its progress every 2 s, since a first build takes minutes:
#
#   sh scripts/progress.sh "hearth and bakery" -o bin/ ./cmd/hearth
#
# The build's output is printed only if it fails. A build of less than 2 s prints nothing.
set -eu
what=$1
shift
log=$(mktemp)
(
	seconds=0
	while sleep 2; do
		seconds=$((seconds + 2))
		line="  build    compiling $what: $seconds s, packages so far: $(wc -l <"$log" | tr -d ' ')"
		if [ -t 1 ]; then printf '\r\033[K%s' "$line"; else echo "$line"; fi
	done
) &
reporter=$!
finish() {
	kill "$reporter" 2>/dev/null || true
	wait "$reporter" 2>/dev/null || true
	if [ -t 1 ]; then printf '\r\033[K'; fi
	rm -f "$log"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
go build -v "$@" >"$log" 2>&1 || { # -v prints a line for each package
	status=$?
	cat "$log" >&2
	exit "$status"
}
