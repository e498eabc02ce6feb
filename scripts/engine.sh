#!/bin/sh
# Runs a command with a private Docker engine, and removes the engine afterwards,
# even after a signal or kill -9.
#
#   sh scripts/engine.sh go test ./internal/docker
#
# The engine and the command have namespaces of their own for the network, processes and mounts. They cannot
# reach the outside network, so everything that the command needs must be on this machine. Bridges, iptables
# rules, containers and mounts end with the last process. The machine's own engine is not touched.
#
# Where no engine can run, the command is skipped with a message; with ENGINE=optional it runs without one.
# ENGINE_NEEDS lists commands to install first.
#
# DOCKER_HOST is the engine's address. HEARTH_TEST_ENGINE is the file with its
# process id: an engine that ends is started again.
set -eu
without() { # REASON COMMAND...
	echo "no private Docker engine: $1"
	shift
	if [ "${ENGINE:-}" = optional ]; then exec "$@"; fi
	echo "SKIPPED: $*"
	exit 0
}

if [ "$1" = --inside ]; then # the first process of the namespace: all others end with it
	dir=$2
	shift 2
	ip link set lo up
	while :; do
		# No test needs a default bridge. systemd would not know the process ids
		# of this namespace: use cgroupfs.
		dockerd --data-root "$dir/data" --exec-root "$dir/run" --pidfile "$dir/docker.pid" \
			--host "$DOCKER_HOST" --bridge none \
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
sh "$(dirname "$0")/deps.sh" dockerd docker ip unshare setpriv ${ENGINE_NEEDS:-} ||
	without "packages could not be installed" "$@"
unshare --net --mount --pid --fork --mount-proc true 2>/dev/null ||
	without "this machine does not allow namespaces" "$@"

dir=$(mktemp -d "${TMPDIR:-/tmp}/hearth-engine.XXXXXX")
mkdir "$dir/config"
finish() {
	# All processes of the namespace end with its first one, and unshare waits for them.
	kill -KILL $(cat "/proc/$inside/task/$inside/children" 2>/dev/null) 2>/dev/null || true
	wait "$inside" 2>/dev/null || true
	find /sys/fs/cgroup -depth -type d -path "*/${dir##*/}*" -exec rmdir {} + 2>/dev/null || true
	rm -rf "$dir"
}
# If this script is killed, unshare and its processes are killed too.
DOCKER_HOST="unix://$dir/docker.sock" HEARTH_TEST_ENGINE="$dir/docker.pid" DOCKER_CONFIG="$dir/config" \
	setpriv --pdeathsig KILL unshare --net --mount --pid --fork --mount-proc --kill-child \
	sh "$0" --inside "$dir" "$@" &
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
