#!/bin/sh
# Prints the lines of over 110 columns in files that revive does not read, and fails if there are any. A tab
# counts as four columns.
set -eu
files=$(git ls-files '*.sh' '*.lua' '*.yml' '*.yaml' '*.toml' '*.service' '*.conf' 'Makefile')
long=$(for file in $files; do
	expand -t 4 "$file" |
		awk -v file="$file" 'length($0) > 110 { print file ":" NR ": " length($0) " columns" }'
done)
[ -z "$long" ] && exit 0
echo "$long"
exit 1
