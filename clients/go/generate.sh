#!/bin/sh
# Generates flowspanv1 from proto/. Argument: the directory to write into, default this one. Compiler and plugins are Go modules
# of the versions in tools/go.mod; the same input makes the same bytes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
case $out in /*) ;; *) out=$PWD/$out ;; esac
bin=$here/bin/tools
mkdir -p "$bin" "$out"
(cd "$here/tools" && GOFLAGS=-mod=readonly go build -trimpath -buildvcs=false -p 2 -o "$bin/" \
  ./protogen google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc)
rm -f "$out"/flowspanv1/*.go
"$bin/protogen" -proto "$here/../../proto" -out "$out" -plugins "$bin"
