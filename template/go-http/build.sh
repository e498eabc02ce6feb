#!/bin/sh
# Builds the function in ./function, with the watchdog in ./main.go, into one static binary.
#
#   sh build.sh [OUTPUT]     OUTPUT is ./handler by default
#
# The handler's package is the root of the module in ./function, whatever that is called. The Dockerfile runs this, and so
# does "hearth build". Only what the function imports is fetched.
set -eu
cd "$(dirname "$0")"
output=${1:-handler}
case $output in
/*) ;;
*) output=$PWD/$output ;;
esac

export GOWORK=off CGO_ENABLED="${CGO_ENABLED:-0}"
cd function
module=$(go list -m)
mkdir -p _watchdog
sed "s|\"handler/function\"|\"$module\"|" ../main.go >_watchdog/main.go.new
# An unchanged file keeps its time, so that nothing is compiled again.
if cmp -s _watchdog/main.go.new _watchdog/main.go; then rm _watchdog/main.go.new; else mv _watchdog/main.go.new _watchdog/main.go; fi

# No -dwarf: -s -w would drop it, and not making it saves a sixth of the time of a first build.
if [ -d vendor ]; then mod=vendor; else mod=mod; fi
go build -mod=$mod -trimpath -buildvcs=false -gcflags=all=-dwarf=false -ldflags "-s -w" -o "$output" ./_watchdog
