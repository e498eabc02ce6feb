#!/bin/sh
# Builds the images of Hearth and of the bakery's functions from binaries of this
# machine, without pulling any. Each has the tag VERSION-ARCH. Those for the
# engine's own architecture also have the tags VERSION and latest.
#
#   sh scripts/images.sh VERSION "amd64 arm64"
set -eu
version=$1 archs=$2
prefix=${IMAGE_PREFIX:-hearthfaas}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
native=$(docker version --format '{{.Server.Arch}}' 2>/dev/null) || {
	echo "no Docker engine answers; install one (on Debian: apt-get install docker.io)," \
		"and use it as root or as a member of the group docker" >&2
	exit 1
}
for arch in $archs; do
	GOOS=linux GOARCH=$arch make --no-print-directory build BIN="$dir"
	# It runs as root to use the engine's socket. docker-compose.yml drops all other rights.
	GOARCH=$arch bin/hearth image "$prefix/hearth:$version-$arch" "$dir/hearth" \
		--user 0:0 --workdir /var/lib/hearth \
		--arg serve --arg --listen --arg 0.0.0.0:8080 \
		--label org.opencontainers.image.title=Hearth \
		--label org.opencontainers.image.licenses=MIT \
		--label org.opencontainers.image.version="$version" \
		--label org.opencontainers.image.source=https://github.com/hearthfaas/hearth \
		--label "org.opencontainers.image.description=Serverless functions on hardware you own"
	GOOS=linux GOARCH=$arch TAG=$version-$arch bin/hearth build --provider docker
done
case " $archs " in *" $native "*)
	for name in hearth cashier baker oven server storefront; do
		for tag in "$version" latest; do
			docker tag "$prefix/$name:$version-$native" "$prefix/$name:$tag"
		done
	done
	echo "  image    tagged those for $native as $version and latest"
	;;
esac
