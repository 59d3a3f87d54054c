#!/bin/sh
# Makes targets of the SDKs in other languages than Python: clients/each.sh TARGET... A language whose toolchain is absent is told
# and left out; SDKS names those that are wanted. `check-generated` makes the stubs anew and fails if that changes a file.
set -eu
cd "$(dirname "$0")"

toolchain() { # the programs that a language needs
  case $1 in
    typescript) echo node npm ;;
    go) echo go ;;
    rust) echo cargo ;;
    java) echo java mvn ;;
  esac
}

generated() { # where its stubs are
  case $1 in
    typescript) echo src/v1 ;;
    go) echo flowspanv1 ;;
    rust) echo src/generated ;;
    java) echo src/main/generated ;;
  esac
}

sums() {
  find "$1/$(generated "$1")" -type f | LC_ALL=C sort | xargs cksum
}

for language in ${SDKS:-typescript go rust java}; do
  [ -f "$language/Makefile" ] || continue
  missing=
  for program in $(toolchain "$language"); do
    command -v "$program" >/dev/null || missing="$missing $program"
  done
  if [ -n "$missing" ]; then
    echo "sdks: WARNING: $language is NOT RUN ($*), for these are absent:$missing" >&2
    continue
  fi
  for target in "$@"; do
    echo "sdks: $language: $target" >&2
    if [ "$target" != check-generated ]; then
      make --no-print-directory -C "$language" "$target"
      continue
    fi
    before=$(sums "$language")
    make --no-print-directory -C "$language" generate
    if [ "$before" != "$(sums "$language")" ]; then
      echo "sdks: $language: generated code has drifted; commit what make proto changes" >&2
      exit 1
    fi
  done
done
