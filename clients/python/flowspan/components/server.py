"""A component server: functions that a gateway calls over stdin and stdout."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar, overload

from flowspan.components.registry import Component, Registry
from flowspan.components.stdio_loop import EventLoopKind, serve_pipes
from flowspan.components.stdout_guard import take_over_stdio

MAX_CAPACITY: Final = 4_096
QUEUE_VARIABLE: Final = "FLOWSPAN_QUEUE"
"""Names the queue that a program serves as a worker; without it, it serves the gateway that has started it."""
STUCK_EXIT_CODE: Final = 75
"""Of a worker whose threads hang: whoever runs it is to start it anew."""
EXIT_GRACE_S: Final = 5.0
"""After the gateway has gone, how long code behind `run()`, exit handlers and threads may take."""

_Function = TypeVar("_Function", bound=Callable[..., Any])

_HINT: Final = """\
This program is a Flowspan component server with {count} component(s): {names}
It is started by a gateway and speaks JSON-RPC on its stdin and stdout; there is nothing to type here.
Name it in flowspan.yml as a plugin of type stdio (command: {command}), or end it with Ctrl-D.
To have it take work from a queue instead, set FLOWSPAN_QUEUE and start it.
"""


class ComponentServer:
    """Components and how they are served.

    Args:
        capacity: executions that the gateway may have in flight here, waits for sub-runs not counted; 1..4096.

    Example:
        server = ComponentServer()

        @server.component
        async def double(input: int) -> int:
            return 2 * input

        server.run()
    """

    def __init__(self, *, capacity: int = 256) -> None:
        if not 1 <= capacity <= MAX_CAPACITY:
            raise ValueError(f"capacity must be in 1..{MAX_CAPACITY}, not {capacity}")
        self.capacity = capacity
        self.registry = Registry()

    @overload
    def component(self, function: _Function, /) -> _Function: ...

    @overload
    def component(
        self, path: str | None = None, /, *, name: str | None = None, description: str | None = None, inline: bool = False
    ) -> Callable[[_Function], _Function]: ...

    def component(
        self, target: Any = None, /, *, name: str | None = None, description: str | None = None, inline: bool = False
    ) -> Any:
        """Register a function `(input)` or `(input, ctx)`, sync or async, under its own name or the one given.

        Input and output may be plain values, dataclasses, TypedDicts or pydantic models; their JSON Schemas are published.

        Args:
            inline: run it where requests are read, without a thread. Only for small pure functions: it must not block.

        Raises:
            TypeError, ValueError: see `Registry.add`.
        """
        frame = inspect.currentframe()
        caller = frame.f_back if frame is not None else None
        # Types of the place where the function is defined, which may be inside a function.
        local_names = dict(caller.f_locals) if caller is not None else {}
        if callable(target):
            self.registry.add(target, name, description, inline, local_names)
            return target
        chosen = target if target is not None else name

        def register(function: _Function) -> _Function:
            self.registry.add(function, chosen, description, inline, local_names)
            return function

        return register

    @property
    def components(self) -> list[Component]:
        """What is registered, in order."""
        return self.registry.all()

    def run(self, *, event_loop: EventLoopKind = "auto") -> None:
        """Serve the gateway that started this process; returns when it is gone. Where `FLOWSPAN_QUEUE` is set: see `run_worker`.

        From here on stdout is the log: whatever prints there, in this process or a child, goes to stderr.

        Args:
            event_loop: `uvloop`, `asyncio`, or `auto`: uvloop where it is installed.
        """
        queue = os.environ.get(QUEUE_VARIABLE)
        if queue:
            self.run_worker(queue, event_loop=event_loop)
            return
        if sys.stdin is not None and os.isatty(0):
            names = ", ".join(component.name for component in self.components) or "none"
            command = f"{os.path.basename(sys.executable)} {sys.argv[0]}"
            sys.stderr.write(_HINT.format(count=len(self.components), names=names, command=command))
            sys.stderr.flush()
        pipes = take_over_stdio()
        _log_to_stderr()
        try:
            serve_pipes(self.registry, self.capacity, pipes, event_loop)
        except KeyboardInterrupt:
            return
        finally:
            for fd in (pipes.read_fd, pipes.write_fd):
                os.close(fd)
            _end_soon()

    def run_worker(
        self, queue: str, target: str | None = None, token: str | None = None, *, event_loop: EventLoopKind = "auto"
    ) -> None:
        """Connect to a gateway as a worker and serve this queue until SIGTERM or SIGINT; comes back to a gateway that was away.

        Args:
            queue: of a plugin of type worker in the gateway's configuration.
            target: `host:port` or `unix:/path`; None: `FLOWSPAN_TARGET`, else the gateway that runs on this machine.
            token: None: `FLOWSPAN_TOKEN`, else the one of the gateway that was found.

        Raises:
            UnavailableError: no gateway is named and none is found.
            SystemExit: (75) so many threads hang in components that a new process has to take over.
        """
        from flowspan.components.worker.serve import serve_queue  # loads gRPC

        _log_to_stderr()
        try:
            was_signalled = serve_queue(self.registry, self.capacity, queue, target, token, event_loop)
        except KeyboardInterrupt:
            return
        finally:
            _end_soon()
        if not was_signalled:
            raise SystemExit(STUCK_EXIT_CODE)


def _log_to_stderr() -> None:
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LogFormatter())
    root.addHandler(handler)
    root.setLevel(logging.INFO)


class _LogFormatter(logging.Formatter):
    """`LEVEL logger message run=... step=... item=...`."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = super().formatMessage(record)
        for label, name in (("run", "run_id"), ("step", "step_id"), ("item", "item_index")):
            value = getattr(record, name, None)
            if value is not None:
                text += f" {label}={value}"
        return text


def _end_soon() -> None:
    """End the process even if a thread of a component hangs: nobody is there any more who could end it."""
    timer = threading.Timer(EXIT_GRACE_S, os._exit, args=(0,))
    timer.daemon = True
    timer.start()
