#!/bin/sh
# Runs the bakery under load until Ctrl-C, and opens its pages if there is a browser. The console has buttons
# that break things; a killed hearth is started again. At the end it waits for what was ordered, and audits
# the books; the exit code is that of the audit. Arguments go to hearth up. SHOPS is how many shops order at
# once, and CALLBACKS the address that they wait for their orders at.
set -eu
day=$(cd "$(dirname "$0")/.." && pwd)/cmd/bakery/testdata/made-up-days.csv
callbacks=${CALLBACKS:-127.0.0.1:9001}
work=$(mktemp -d)
hearth='' load='' stop=''
trap 'stop=1' INT TERM
trap '[ -z "$hearth" ] || kill "$hearth" 2>/dev/null || true; rm -rf "$work"' EXIT

alive() { kill -0 "$1" 2>/dev/null; }

# Waits for a process to end, also if a signal comes meanwhile.
await() { while alive "$1"; do wait "$1" || true; done; }

# hearth gets a process group of its own where there is a terminal, so that Ctrl-C reaches the load only.
set -m 2>/dev/null || true
(
	pid='' code=137
	trap 'code=0; [ -z "$pid" ] || kill "$pid" 2>/dev/null || true' TERM
	while [ "$code" -eq 137 ]; do # kill -9
		DEMO=$work bin/hearth up --callback-allow "$callbacks" --demo \
			--demo-audit 'MANAGER_KEY_FILE="$HEARTH_SECRETS/openfaas-fn/manager-key" bin/bakery audit' \
			--on-ready 'printf "%s\n%s\n" "$OPENFAAS_URL" "$HEARTH_SECRETS" >"$DEMO/new" &&
				mv "$DEMO/new" "$DEMO/ready"' "$@" </dev/null &
		pid=$!
		while alive "$pid"; do
			wait "$pid" && ended=0 || ended=$?
		done
		[ "$code" -eq 0 ] || code=$ended
	done
	exit "$code"
) &
hearth=$!
set +m 2>/dev/null || true

until [ -e "$work/ready" ]; do
	alive "$hearth" || { hearth=''; echo "demo: hearth ended, see above" >&2; exit 1; }
	[ -z "$stop" ] || exit 130
	sleep 0.2
done
{ read -r OPENFAAS_URL; read -r secrets; } <"$work/ready"
export OPENFAAS_URL MANAGER_KEY_FILE="${MANAGER_KEY_FILE:-$secrets/openfaas-fn/manager-key}"
bin/bakery open

if [ "$(uname)" = Darwin ]; then
	open "$OPENFAAS_URL/function/storefront?view=floor" || true
	bin/hearth console --open --state "$(dirname "$secrets")" || true
elif [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && command -v xdg-open >/dev/null; then
	xdg-open "$OPENFAAS_URL/function/storefront?view=floor" >/dev/null 2>&1 || true
	bin/hearth console --open --state "$(dirname "$secrets")" || true
fi
echo "The manager's key for the floor is in $MANAGER_KEY_FILE."
echo "${SHOPS:-10} shops order now. Ctrl-C ends the load, waits for its orders, and audits the books."

seed=0
while [ -z "$stop" ] && alive "$hearth"; do
	seed=$((seed + 1))
	bin/bakery replay "$day" --day 2024-03-02 --shops "${SHOPS:-10}" --seed "$seed" --listen "$callbacks" \
		--json >/dev/null &
	load=$!
	wait "$load" || true # it fails if a fault kept the gateway from answering
	[ -n "$stop" ] || sleep 0.5
done
if alive "$load"; then
	kill "$load" 2>/dev/null || true
	await "$load"
fi

echo "demo: waiting for the orders that are open"
tries=0
until bin/bakery floor --once --json 2>/dev/null | grep -q '"orders":{"baking":0,.*"ready":0'; do
	tries=$((tries + 1))
	[ "$tries" -lt 240 ] || { echo "demo: some orders are still open" >&2; break; }
	sleep 0.25
done
code=0
bin/bakery audit || code=$?
kill "$hearth"
await "$hearth"
hearth=''
exit "$code"
