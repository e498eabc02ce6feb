#!/bin/sh
# Runs a command with a Docker engine of its own, which is gone afterwards: also after a timeout, a signal, or kill -9.
#
#   sh scripts/engine.sh go test ./internal/docker
#
# The engine and the command share a network, a table of processes and a table of mounts of their own. They have no way out to
# the network, so what the command needs from there must be here before. Bridges, iptables rules, containers and mounts go with
# the last process. The machine's own engine, if there is one, is not touched.
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

if [ "$1" = --inside ]; then # as the first process of the engine's table of processes: with it ends all else
	dir=$2
	shift 2
	ip link set lo up
	while :; do
		# Its network has no default bridge, as no test needs one. cgroupfs, as systemd would not know these process ids.
		dockerd --data-root "$dir/data" --exec-root "$dir/run" --pidfile "$dir/docker.pid" --host "$DOCKER_HOST" --bridge none \
			--exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/${dir##*/}" --shutdown-timeout 2 \
			--insecure-registry 127.0.0.0/8 >>"$dir/log" 2>&1 || sleep 0.2
	done &
	n=0
	until docker version >/dev/null 2>&1; do
		n=$((n + 1))
		[ $n -lt 600 ] || exit 125
		sleep 0.2
	done
	touch "$dir/started"
	"$@"
	exit
fi

[ "$(uname)" = Linux ] || without "this is not Linux" "$@"
[ "$(id -u)" = 0 ] || without "starting dockerd needs root" "$@"
sh "$(dirname "$0")/deps.sh" dockerd docker ip unshare setpriv ${ENGINE_NEEDS:-} || without "what it needs could not be installed" "$@"
unshare --net --mount --pid --fork --mount-proc true 2>/dev/null || without "namespaces cannot be made here" "$@"

dir=$(mktemp -d "${TMPDIR:-/tmp}/hearth-engine.XXXXXX")
mkdir "$dir/config"
finish() {
	# Its first process takes all others with it, and unshare waits for them.
	kill -KILL $(cat "/proc/$inside/task/$inside/children" 2>/dev/null) 2>/dev/null || true
	wait "$inside" 2>/dev/null || true
	find /sys/fs/cgroup -depth -type d -path "*/${dir##*/}*" -exec rmdir {} + 2>/dev/null || true
	rm -rf "$dir"
}
# Should this script be killed, unshare is killed too, and what it has started with it.
DOCKER_HOST="unix://$dir/docker.sock" HEARTH_TEST_ENGINE="$dir/docker.pid" DOCKER_CONFIG="$dir/config" \
	setpriv --pdeathsig KILL unshare --net --mount --pid --fork --mount-proc --kill-child sh "$0" --inside "$dir" "$@" &
inside=$!
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
status=0
wait "$inside" || status=$?
if [ ! -e "$dir/started" ]; then
	tail -n 5 "$dir/log" || true
	trap - EXIT
	finish
	without "dockerd does not start here" "$@"
fi
exit "$status"
