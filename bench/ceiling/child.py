"""The sketch's component server: answers each request with its input, whole reads in, a write out for every 32 requests, so that
the gateway need not wait for the last of a large read."""

from __future__ import annotations

import os

import msgspec

FLUSH_EVERY = 32


class _Params(msgspec.Struct, gc=False):
    input: msgspec.Raw


class _Request(msgspec.Struct, gc=False):
    id: int
    params: _Params


class _Output(msgspec.Struct, gc=False):
    output: msgspec.Raw


class _Answer(msgspec.Struct, gc=False):
    id: int
    result: _Output
    jsonrpc: str = "2.0"


def main() -> None:
    requests = msgspec.json.Decoder(_Request).decode_lines
    encode = msgspec.json.Encoder().encode_lines
    rest = b""
    while data := os.read(0, 1 << 18):
        end = data.rfind(b"\n") + 1
        if not end:
            rest += data
            continue
        whole, rest = rest + data[:end], data[end:]
        todo = requests(whole)
        for first in range(0, len(todo), FLUSH_EVERY):
            part = todo[first : first + FLUSH_EVERY]
            left = memoryview(encode([_Answer(one.id, _Output(one.params.input)) for one in part]))
            while left:
                left = left[os.write(1, left) :]


if __name__ == "__main__":
    main()
