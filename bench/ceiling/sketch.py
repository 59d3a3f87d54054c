"""A ceiling to compare with: the bare path of an item, without a flow language, recovery, limits or errors.

gRPC submit -> lines to child processes -> their answers, encoded once -> SQLite (WAL, FULL, one row per run and commit) ->
the same bytes on the stream. Speaks the product's own messages. Both ends of the pipe write early, past the event loop: every
32 messages, so that this process and the child work side by side and not in turns.

Usage: python -m bench.ceiling.sketch SOCKET DATABASE. Prints {"grpc", "pid"} when it is ready; ends at SIGTERM.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import queue
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Final

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc.aio
import msgspec

from flowspan.v1.run_service_pb2 import SubmitRunRequest, WatchRunResponse

CHILD: Final = Path(__file__).with_name("child.py")
MESSAGE_BYTES: Final = 256 * 1024
OPTIONS: Final = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
FLUSH_EVERY: Final = 32
"""Requests that are written at once."""
CHECKPOINT_PAGES: Final = 10_000
SUCCESS: Final = 1
ITEM_COMPLETED: Final = 5


class _Output(msgspec.Struct, gc=False):
    output: msgspec.Raw


class _Answer(msgspec.Struct, gc=False):
    id: int
    result: _Output


REQUEST: Final = b'{"jsonrpc":"2.0","id":%d,"method":"components/execute","params":{"component":"/echo","input":%b}}\n'

_answers = msgspec.json.Decoder(_Answer).decode_lines


class Run:
    """One run: what is left to start, and what is durable and not yet sent."""

    def __init__(self, number: int, inputs: list[bytes]) -> None:
        self.number = number
        self.inputs = inputs
        self.next = 0
        self.segment = 0
        self.durable: list[tuple[int, bytes]] = []
        self.wake = asyncio.Event()

    async def messages(self) -> AsyncIterator[bytes]:
        left = len(self.inputs)
        while left:
            await self.wake.wait()
            count = size = parts = 0
            for items, data in self.durable:
                count, size, parts = count + items, size + len(data), parts + 1
                if size > MESSAGE_BYTES:
                    break
            message = b"".join(data for _, data in self.durable[:parts])
            del self.durable[:parts]
            if not self.durable:
                self.wake.clear()
            left -= count
            yield message


class Writer(threading.Thread):
    """Commits whatever has piled up during the last commit."""

    def __init__(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._loop = loop
        self.queue: queue.SimpleQueue[tuple[Run, int, bytes]] = queue.SimpleQueue()

    def run(self) -> None:
        database = sqlite3.connect(self._path, isolation_level=None)
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}",
            "CREATE TABLE segment (run INTEGER, seq INTEGER, items INTEGER, data BLOB, PRIMARY KEY (run, seq))",
        ):
            database.execute(statement)
        while True:
            group = [self.queue.get()]
            while not self.queue.empty():
                group.append(self.queue.get())
            by_run: dict[Run, list[tuple[int, bytes]]] = {}
            for run, items, data in group:
                by_run.setdefault(run, []).append((items, data))
            database.execute("BEGIN")
            for run, parts in by_run.items():
                run.segment += 1
                row = (run.number, run.segment, sum(items for items, _ in parts), b"".join(data for _, data in parts))
                database.execute("INSERT INTO segment VALUES (?, ?, ?, ?)", row)
            database.execute("COMMIT")
            self._loop.call_soon_threadsafe(_publish, by_run)


def _publish(by_run: dict[Run, list[tuple[int, bytes]]]) -> None:
    for run, parts in by_run.items():
        run.durable += parts
        run.wake.set()


class Child(asyncio.Protocol):
    """The component server's end of the pipe."""

    def __init__(self, writer: Writer, pipe: socket.socket) -> None:
        self._writer = writer
        self._pipe = pipe
        self._open: dict[int, tuple[Run, int]] = {}
        self._last_id = 0
        self._rest = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]

    def start(self, run: Run, count: int) -> None:
        """Send the next `count` items."""
        end = min(run.next + count, len(run.inputs))
        for first in range(run.next, end, FLUSH_EVERY):
            lines = []
            number = self._last_id
            for index in range(first, min(first + FLUSH_EVERY, end)):
                number += 1
                self._open[number] = (run, index)
                lines.append(REQUEST % (number, run.inputs[index]))
            self._last_id = number
            self._send(b"".join(lines))
        run.next = end

    def _send(self, data: bytes) -> None:
        """Now, as much as the pipe takes; a transport would send it at the end of the loop's turn."""
        assert self._transport is not None
        sent = 0
        if not self._transport.get_write_buffer_size():
            try:
                sent = self._pipe.send(data)
            except BlockingIOError:
                sent = 0
        if sent < len(data):
            self._transport.write(data[sent:])

    def data_received(self, data: bytes) -> None:
        end = data.rfind(b"\n") + 1
        if not end:
            self._rest += data
            return
        whole, self._rest = self._rest + data[:end], data[end:]
        done: dict[Run, list[tuple[int, bytes]]] = {}
        take = self._open.pop
        for answer in _answers(whole):
            run, index = take(answer.id)
            items = done.get(run)
            if items is None:
                items = done[run] = []
            items.append((index, bytes(answer.result.output)))
        # First the child gets its next work, then what it has done is encoded.
        for run, items in done.items():
            self.start(run, len(items))
        for run, items in done.items():
            self._writer.queue.put((run, len(items), _encode(items)))


def _encode(items: list[tuple[int, bytes]]) -> bytes:
    """A message of one segment."""
    message = WatchRunResponse()
    segment = message.segments.add()
    segment.recorded_at.FromMicroseconds(time.time_ns() // 1000)
    add = segment.headers.add
    for index, _ in items:
        add(kind=ITEM_COMPLETED, item_index=index, outcome=SUCCESS)
    segment.payloads.extend([output for _, output in items])
    return bytes(message.SerializeToString())


def _spawn_child() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        return ours, subprocess.Popen([sys.executable, str(CHILD)], stdin=theirs.fileno(), stdout=theirs.fileno())


async def _serve(socket_path: str, database: str) -> None:
    loop = asyncio.get_running_loop()
    writer = Writer(database, loop)
    writer.start()
    ours, process = _spawn_child()
    try:
        _, child = await loop.create_unix_connection(lambda: Child(writer, ours), sock=ours)
        await _listen(socket_path, child)
    finally:
        process.terminate()
        process.wait(5)


async def _listen(socket_path: str, child: Child) -> None:
    numbers = iter(range(1, 1 << 40))

    async def submit(request: SubmitRunRequest, context: object) -> AsyncIterator[bytes]:
        run = Run(next(numbers), [value.json for value in request.inputs])
        child.start(run, request.options.max_concurrency)
        async for message in run.messages():
            yield message

    handler: grpc.RpcMethodHandler[SubmitRunRequest, bytes] = grpc.unary_stream_rpc_method_handler(
        submit, request_deserializer=SubmitRunRequest.FromString
    )
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("sketch.Sketch", {"Submit": handler}),))
    server.add_insecure_port(f"unix:{socket_path}")
    await server.start()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print(json.dumps({"grpc": f"unix:{socket_path}", "pid": os.getpid()}), flush=True)
    await ended.wait()
    await server.stop(0)


def main(arguments: Iterable[str]) -> None:
    socket_path, database = arguments
    try:
        from uvloop import new_event_loop
    except ImportError:
        asyncio.run(_serve(socket_path, database))
        return
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(socket_path, database))


if __name__ == "__main__":
    main(sys.argv[1:])
