#!/bin/sh
# Installs missing commands: sh scripts/deps.sh redis-server gcc wrk. It uses sudo unless it runs as root.
set -eu
missing= packages=
for name; do
	command -v "$name" >/dev/null 2>&1 && continue
	case $name in
	gcc) # the race detector needs a linker
		command -v clang >/dev/null 2>&1 && continue
		package="gcc libc6-dev"
		;;
	chromium)
		for other in chromium-browser google-chrome chromium-headless-shell; do
			command -v $other >/dev/null 2>&1 && continue 2
		done
		package=chromium
		;;
	dockerd) package="docker.io iptables apparmor" ;; # with AppArmor, the engine needs its parser
	docker) package=$(apt-cache show docker-cli >/dev/null 2>&1 && echo docker-cli || echo docker.io) ;;
	ip) package=iproute2 ;;
	unshare | setpriv) package=util-linux ;;
	*) package=$name ;;
	esac
	missing="$missing $name" packages="$packages $package"
done
[ -z "$missing" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
	echo "missing commands:$missing; install them and try again" >&2
	exit 1
fi
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
echo "installing$packages"
# RUNLEVEL=1 keeps a package from starting its service.
install() {
	$as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
		apt-get install -y -q --no-install-recommends $packages >/dev/null
}
install 2>/dev/null || { $as_root apt-get update -q >/dev/null && install; }
