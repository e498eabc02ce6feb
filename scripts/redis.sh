#!/bin/sh
# Installs redis-server where it is missing and that needs no prompt. Says what it does. Never fails: hearth runs without,
# and says what that means.
set -u
if command -v redis-server >/dev/null 2>&1 || [ -n "${REDIS_URL:-}" ]; then exit 0; fi

as_root=
if [ "$(id -u)" != 0 ]; then
	if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root=no; fi
fi

if command -v apt-get >/dev/null 2>&1 && [ "$as_root" != no ]; then
	echo "  redis    is missing: installing Debian's redis-server with apt-get (hearth starts one of its own; the service on 6379 is not used)"
	# RUNLEVEL=1 keeps the package from starting its service.
	$as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends redis-server >/dev/null 2>&1 ||
		{ $as_root apt-get update -q >/dev/null 2>&1 &&
			$as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends redis-server >/dev/null 2>&1; } ||
		echo "  redis    could not be installed; install redis-server 7.0 or newer yourself"
elif command -v brew >/dev/null 2>&1; then
	echo "  redis    is missing: installing it with brew"
	brew install -q redis >/dev/null 2>&1 || echo "  redis    could not be installed; install redis-server 7.0 or newer yourself"
else
	echo "  redis    is missing, and installing it would need a password: to keep queued work over restarts, run: sudo apt-get install redis-server"
fi
exit 0
