"""A wire between a client and the gateway that the runner can cut, or let go silent."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Final

CONNECT_S: Final = 5.0


class Relay:
    """Listens on loopback and passes bytes on to a unix socket, both ways."""

    def __init__(self, socket_path: str) -> None:
        self._to = socket_path
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()
        self.connections = 0
        """Made so far."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def target(self) -> str:
        host, port = self._listening.getsockname()
        return f"{host}:{port}"

    def cut(self) -> None:
        """End all connections, as a network that loses them; new ones are taken."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _close(end)

    def stall(self) -> None:
        """Pass nothing on until `resume`."""
        self._flows.clear()

    def resume(self) -> None:
        self._flows.set()

    def close(self) -> None:
        _close(self._listening)  # the shutdown wakes the thread that accepts
        self.resume()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.settimeout(CONNECT_S)
            try:
                far.connect(self._to)
            except OSError:
                _close(near)
                continue
            far.settimeout(None)
            with self._lock:
                self._pairs.append((near, far))
                self.connections += 1
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._flows.wait()
                sink.sendall(data)
        _close(source)
        _close(sink)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
