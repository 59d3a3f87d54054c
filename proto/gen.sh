#!/bin/sh
# Generates clients/python/flowspan/v1 from proto/flowspan/v1. Arguments: the python that has grpcio-tools and
# mypy-protobuf (the declared floor of grpcio and protobuf), then the output directory.
set -eu
python=$1 out=$2
cd "$(dirname "$0")"
bin=$(dirname "$python")
PATH="$bin:$PATH" "$python" -m grpc_tools.protoc -I . --python_out="$out" --grpc_python_out="$out" \
  --mypy_out="quiet:$out" --mypy_grpc_out="quiet:$out" flowspan/v1/*.proto
