#!/bin/sh
# Builds the function in ./function, with the watchdog in ./main.go, into one static binary.
#
#   sh build.sh [OUTPUT]     OUTPUT is ./handler by default
#   sh build.sh --test       runs the handler's tests instead
#   sh build.sh --licenses FILE   writes the licence texts of Go and of the linked modules instead
#
# The handler's package is the root of the module in ./function, whatever that is called. The Dockerfile and
# "hearth build" run this script. Only what the function imports is fetched.
set -eu
cd "$(dirname "$0")"
output=${1:-handler} file=${2:-}
case $output in
/* | --test | --licenses) ;;
*) output=$PWD/$output ;;
esac

export GOWORK=off CGO_ENABLED="${CGO_ENABLED:-0}"
cd function
# The build context always has the starter's test, unless the handler brings a file of that name. The test
# only fits the starter's handler. Both files are recognised by their content, as cksum prints it.
starter_handler='3573880545 423' starter_test='239020571 467'
if [ "$(cksum 2>/dev/null <handler_test.go)" = "$starter_test" ] &&
	[ "$(cksum 2>/dev/null <handler.go)" != "$starter_handler" ]; then
	rm handler_test.go
	[ "$output" != --test ] ||
		echo "handler_test.go is still the starter's and was left out: write tests of your own"
fi
if [ -d vendor ]; then mod=vendor; else mod=mod; fi
# The same flags for tests and build, so that packages are compiled once. No DWARF: -s -w would drop it, and
# not generating it saves a sixth of the time of a first build.
set -- -mod=$mod -trimpath -buildvcs=false -gcflags=all=-dwarf=false
if [ "$output" = --test ]; then
	exec go test "$@" .
fi
module=$(go list -m)
mkdir -p _watchdog
sed "s|\"handler/function\"|\"$module\"|" ../main.go >_watchdog/main.go.new
# An unchanged file keeps its time, so that nothing is compiled again.
if cmp -s _watchdog/main.go.new _watchdog/main.go; then
	rm _watchdog/main.go.new
else
	mv _watchdog/main.go.new _watchdog/main.go
fi

if [ "$output" = --licenses ]; then
	mkdir -p "$(dirname "$file")"
	format='{{with .Module}}{{if not .Main}}{{.Dir}}{{end}}{{end}}'
	dirs=$(go list "$@" -deps -f "$format" ./_watchdog | sort -u)
	[ $mod = mod ] || dirs=$(find vendor -type d | sort)
	{ go env GOROOT && echo "$dirs"; } | while read -r dir; do
		find "$dir" -maxdepth 1 -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o \
			-iname 'notice*' -o -iname 'patents*' \) |
			while read -r text; do printf '%s\n\n' "== $text" && cat "$text" && echo; done
	done >"$file"
	exit
fi
go build "$@" -ldflags "-s -w" -o "$output" ./_watchdog
