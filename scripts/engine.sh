#!/bin/sh
# Runs a command with a Docker engine of its own, in a temporary directory, which is gone afterwards. The machine's engine, if
# there is one, is not touched.
#
#   sh scripts/engine.sh go test ./internal/docker
#
# ENGINE=optional runs the command where no engine can run, too. ENGINE_NEEDS are other commands that are to be installed.
#
# The command finds the engine by DOCKER_HOST. HEARTH_TEST_ENGINE is the file with its process id: an engine that is ended is
# started again. Where no engine can run, it says so and does nothing.
set -eu
without() { # REASON COMMAND...
	echo "there is no Docker engine of our own: $1"
	shift
	if [ "${ENGINE:-}" = optional ]; then exec "$@"; fi
	echo "SKIPPED: $*"
	exit 0
}
[ "$(uname)" = Linux ] || without "this is not Linux" "$@"
[ "$(id -u)" = 0 ] || without "starting dockerd needs root" "$@"
sh "$(dirname "$0")/deps.sh" dockerd docker ${ENGINE_NEEDS:-} || without "docker.io could not be installed" "$@"

dir=$(mktemp -d /tmp/hearth-engine.XXXXXX)
export DOCKER_HOST="unix://$dir/docker.sock" HEARTH_TEST_ENGINE="$dir/docker.pid" DOCKER_CONFIG="$dir/config"
mkdir "$dir/config"
(
	trap 'exit 0' TERM
	while :; do
		# Its network has no default bridge, which would be the machine's engine's.
		dockerd --data-root "$dir/data" --exec-root "$dir/run" --pidfile "$dir/docker.pid" --host "$DOCKER_HOST" --bridge none \
			--shutdown-timeout 2 --insecure-registry 127.0.0.0/8 >>"$dir/log" 2>&1 || sleep 0.2
	done
) &
keeper=$!
finish() {
	kill "$keeper" 2>/dev/null || true
	pid=$(cat "$dir/docker.pid" 2>/dev/null || true)
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || true
	n=0
	while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && [ $n -lt 150 ]; do
		sleep 0.1
		n=$((n + 1))
	done
	wait "$keeper" 2>/dev/null || true
	awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l 2>/dev/null || true
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

n=0
until docker version >/dev/null 2>&1; do
	n=$((n + 1))
	if [ $n -gt 150 ]; then
		tail -n 5 "$dir/log"
		[ "${ENGINE:-}" != optional ] || unset DOCKER_HOST HEARTH_TEST_ENGINE DOCKER_CONFIG
		without "dockerd does not start here" "$@"
	fi
	sleep 0.2
done
"$@"
