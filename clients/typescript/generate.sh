#!/bin/sh
# Makes the generated code from ../../proto, and from proto (the standard health service), with pinned tools from the package
# registry. The same input gives the same bytes.
#
#   ./generate.sh [OUT]     OUT: where to; default: src/v1
set -eu
out=
if [ $# -gt 0 ]; then
  mkdir -p "$1"
  out=$(cd "$1" && pwd)
fi
cd "$(dirname "$0")"
: "${out:=$PWD/src/v1}"
buf_version=1.75.0
# The compiler is not in package-lock.json: only those who change the protobuf files need it, and it is another package on each
# platform.
buf=build/buf/node_modules/@bufbuild/buf
plugin=node_modules/@bufbuild/protoc-gen-es
[ -e "$plugin/package.json" ] || npm ci --no-audit --no-fund --silent
if ! grep -qs "\"version\": \"$buf_version\"" "$buf/package.json"; then
  mkdir -p build/buf
  npm install --prefix build/buf --no-save --no-package-lock --no-audit --no-fund --silent "@bufbuild/buf@$buf_version"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
template='{"version":"v2","plugins":[{"local":["node","'"$plugin"'/bin/protoc-gen-es"],"out":"'"$work"'","opt":["target=ts","import_extension=js"]}]}'
for input in ../../proto proto; do
  node "$buf/bin/buf" generate "$input" --template "$template"
done
rm -f "$out"/*_pb.ts
mv "$work"/flowspan/v1/*_pb.ts "$work"/grpc/health/v1/*_pb.ts "$out"/
