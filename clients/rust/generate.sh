#!/bin/sh
# Makes src/generated from proto/. With a directory as its argument it writes there instead, so that the two can be compared.
set -eu
cd "$(dirname "$0")"
out="${1:-src/generated}"
mkdir -p "$out"
cargo build --quiet --manifest-path generator/Cargo.toml
generator/target/debug/flowspan-generator ../../proto "$out"
