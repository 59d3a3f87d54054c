#!/bin/sh
# Makes the generated code from ../../proto, and from proto (the standard health service), with the tools of package-lock.json. The same input gives the same bytes.
#
#   ./generate.sh [OUT]     OUT: where to; default: src/v1
set -eu
cd "$(dirname "$0")"
out=${1:-src/v1}
tools=node_modules/@bufbuild
if [ ! -e "$tools/protoc-gen-es/package.json" ] || [ ! -e "$tools/buf/package.json" ]; then
  npm ci --no-audit --no-fund --silent
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
template='{"version":"v2","plugins":[{"local":["node","'"$tools"'/protoc-gen-es/bin/protoc-gen-es"],"out":"'"$work"'","opt":["target=ts","import_extension=js"]}]}'
for input in ../../proto proto; do
  node node_modules/@bufbuild/buf/bin/buf generate "$input" --template "$template"
done
rm -f "$out"/*_pb.ts
mv "$work"/flowspan/v1/*_pb.ts "$work"/grpc/health/v1/*_pb.ts "$out"/
