#!/bin/sh
# Installs redis-server if it is missing and no prompt is needed, and prints what it does. It never fails:
# hearth also runs without redis-server, and prints what that means.
set -u
if command -v redis-server >/dev/null 2>&1 || [ -n "${REDIS_URL:-}" ]; then exit 0; fi

as_root=
if [ "$(id -u)" != 0 ]; then
	as_root=no
	if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as_root="sudo -n"; fi
fi

if command -v apt-get >/dev/null 2>&1 && [ "$as_root" != no ]; then
	echo "  redis    is missing: installing Debian's redis-server (hearth starts its own, not the service)"
	# RUNLEVEL=1 keeps the package from starting its service.
	install() {
		$as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
			apt-get install -y -q --no-install-recommends redis-server >/dev/null 2>&1
	}
	install || { $as_root apt-get update -q >/dev/null 2>&1 && install; } ||
		echo "  redis    could not be installed; install redis-server 7.0 or newer yourself"
elif command -v brew >/dev/null 2>&1; then
	echo "  redis    is missing: installing it with brew"
	brew install -q redis >/dev/null 2>&1 ||
		echo "  redis    could not be installed; install redis-server 7.0 or newer yourself"
else
	echo "  redis    is missing, and installing it needs a password. To keep queued calls after a restart," \
		"run: sudo apt-get install redis-server"
fi
exit 0
