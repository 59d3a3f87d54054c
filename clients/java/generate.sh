#!/bin/sh
# Makes src/main/generated from proto/. With a directory as its argument it writes there instead, so that the two can be compared.
# Compiler and plugin are executables from the package registry, of the versions in pom.xml: the same input makes the same bytes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/src/main/generated}
case $out in /*) ;; *) out=$PWD/$out ;; esac
tools=$here/target/tools
protobuf=$(sed -n 's:.*<protobuf.version>\(.*\)</protobuf.version>.*:\1:p' "$here/pom.xml")
grpc=$(sed -n 's:.*<grpc.version>\(.*\)</grpc.version>.*:\1:p' "$here/pom.xml")

case $(uname -s)-$(uname -m) in
  Linux-x86_64) platform=linux-x86_64 ;;
  Linux-aarch64) platform=linux-aarch_64 ;;
  Darwin-x86_64) platform=osx-x86_64 ;;
  Darwin-arm64) platform=osx-aarch_64 ;;
  *) echo "generate.sh: there is no protoc for this machine" >&2; exit 1 ;;
esac

# protoc, what it imports, and the plugin: NAME GROUP VERSION TYPE[:CLASSIFIER]
fetch() {
  [ -e "$tools/$1-$3" ] || {
    rm -rf "$tools/new"
    (cd "$here" && mvn -B -q dependency:copy -Dartifact="$2:$1:$3:$4" -DoutputDirectory="$tools/new" >&2)
    mv "$tools"/new/* "$tools/$1-$3"
    chmod +x "$tools/$1-$3"
  }
}
mkdir -p "$tools"
fetch protoc com.google.protobuf "$protobuf" "exe:$platform"
fetch protobuf-java com.google.protobuf "$protobuf" jar
fetch protoc-gen-grpc-java io.grpc "$grpc" "exe:$platform"

# The files of proto/ belong to no language; what Java wants to know is added to a copy.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/proto/flowspan/v1" "$work/out" "$work/include"
for file in "$here"/../../proto/flowspan/v1/*.proto; do
  sed 's/^package flowspan\.v1;$/&\n\noption java_multiple_files = true;\noption java_package = "dev.flowspan.v1";/' \
    "$file" > "$work/proto/flowspan/v1/$(basename "$file")"
done
(cd "$work/include" && jar xf "$tools/protobuf-java-$protobuf" google/protobuf)
"$tools/protoc-$protobuf" -I "$work/proto" -I "$work/include" \
  --plugin=protoc-gen-grpc-java="$tools/protoc-gen-grpc-java-$grpc" \
  --java_out="$work/out" --grpc-java_out=@generated=omit:"$work/out" \
  "$work"/proto/flowspan/v1/*.proto
rm -rf "$out/dev"
mkdir -p "$out"
mv "$work/out/dev" "$out/"
