"""Which gateway a command talks to: one that runs, or one of its own that lives as long as the command."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from flowspan.errors import UnavailableError
from gateway.catalog import PluginHealth
from gateway.cli.exits import UsageError

if TYPE_CHECKING:
    from flowspan.client import AsyncClient  # `serve` shares this module and needs no client
    from gateway.app import Gateway, GatewayParts
    from gateway.config import LoadedConfig

T = TypeVar("T")

_GIVEN_UP: Final = (PluginHealth.CIRCUIT_OPEN, PluginHealth.BROKEN)

CALL_TIMEOUT_S: Final = 30.0
"""Of one unary call, retries included: a command waits longer than a program would."""
PLUGINS_UP_S: Final = 30.0
"""Three times what one handshake may take."""
LOOK_EVERY_S: Final = 0.2
MAX_START_CRASHES: Final = 2
"""A plugin that ended so often before it took a call will do so again."""
EMBEDDED_STOP_S: Final = 2.0
"""For what still runs when the command ends early."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where a gateway is; None: what the environment says, else the one that runs on this machine."""

    target: str | None = None
    token: str | None = None
    tls: bool = False
    ca: Path | None = None

    def connect(self) -> AsyncClient:
        """A client; nothing is sent yet.

        Raises:
            UnavailableError: there is no gateway to be found.
            UsageError: the certificate file cannot be read.
        """
        from flowspan.client import AsyncClient

        try:
            tls: bool | bytes = self.ca.read_bytes() if self.ca is not None else self.tls
        except OSError as error:
            raise UsageError(f"--ca {self.ca}: {error.strerror}") from error
        return AsyncClient(self.target, token=self.token, tls=tls, timeout_s=CALL_TIMEOUT_S)


@asynccontextmanager
async def embedded_client(
    loaded: LoadedConfig,
    state: Path | None,
    *,
    in_memory: bool = False,
    need_plugins: bool = True,
    adopt: Callable[[GatewayParts], GatewayParts] | None = None,
) -> AsyncIterator[AsyncClient]:
    """A gateway in this process with a store of its own, and a client of it.

    Args:
        state: the store's directory, kept; None: one that goes with the command.
        in_memory: without `state`, no directory at all.
        need_plugins: whether it is an error that one does not come up.
        adopt: may change the gateway's parts before they are put together.
    """
    from gateway.app import open_gateway
    from gateway.assembly import assemble

    join_environment()
    # Short, for the path of a unix socket is bounded; and the user's alone.
    private = Path(tempfile.mkdtemp(prefix="flowspan-"))
    try:
        socket = f"unix:{private / 'gateway.sock'}"
        store = state or (None if in_memory else private / "state")
        parts = assemble(loaded.config, store=store, listen=[socket], name=str(loaded.path or "flowspan.yml"))
        parts = parts if adopt is None else adopt(parts)
        gateway = await open_gateway(parts)
        # Only now: gRPC takes its time to load, and the plugins start meanwhile.
        from flowspan.client import AsyncClient, RetryPolicy

        try:
            try:
                await _plugins_up(gateway)
            except UnavailableError:
                if need_plugins:
                    raise
            async with AsyncClient(socket, timeout_s=CALL_TIMEOUT_S, retry=RetryPolicy(give_up_after_s=5.0)) as client:
                yield client
        finally:
            await gateway.stop(grace_s=EMBEDDED_STOP_S if state is not None else 0.0)
    finally:
        # Not in a thread: a second signal must not leave it behind.
        shutil.rmtree(private, ignore_errors=True)


async def _plugins_up(gateway: Gateway) -> None:
    """Until every plugin takes calls. A gateway that serves waits for a plugin as long as it takes; a command whose plugin
    cannot start should say so at once.

    Raises:
        UnavailableError: a plugin does not come up; its last words are in the message.
    """
    clock = asyncio.get_running_loop().time
    give_up_at = clock() + PLUGINS_UP_S
    while not await gateway.wait_plugins(LOOK_EVERY_S):
        for plugin in gateway.catalog.plugins():
            if plugin.health in _GIVEN_UP or plugin.restarts >= MAX_START_CRASHES:
                why = (plugin.last_end or plugin.detail or plugin.health.name).removeprefix(f"plugin {plugin.name!r}")
                raise UnavailableError(f"plugin {plugin.name} does not start: {why.lstrip(': ')}")
        if clock() > give_up_at:
            late = [
                f"plugin {plugin.name}: {plugin.detail}"
                for plugin in gateway.catalog.plugins()
                if plugin.health is not PluginHealth.UP
            ]
            raise UnavailableError("\n  ".join([f"the plugins are not ready after {PLUGINS_UP_S:.0f} s", *late]))


def join_environment() -> None:
    """Let plugins find the programs of the virtual environment that the command lives in, as if it had been activated:
    `command: python` then has the packages that are installed beside the command. An activated one stays as it is."""
    bin_directory = Path(sys.executable).parent
    if sys.prefix != sys.base_prefix and not os.environ.get("VIRTUAL_ENV"):
        os.environ["PATH"] = f"{bin_directory}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def resumable_request_id(*parts: bytes | str) -> str:
    """The request id of a run that is found again by the same flow, inputs and options."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return f"run-{digest.hexdigest()}"


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on the fastest loop that is installed. SIGTERM ends it as SIGINT does.

    Raises:
        KeyboardInterrupt: by either signal, after clean-up.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the runner listens only in its place
    factory = None
    if find_spec("uvloop") is not None:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_until_terminated(main))


async def _until_terminated(main: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    assert task is not None
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        loop.remove_signal_handler(signal.SIGINT)  # a second one interrupts at once
        task.cancel()

    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):  # Windows has no signal handlers on loops
        # SIGINT as well: the runner's own handler cancels between any two instructions, also while a future is being settled.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, terminate)
    try:
        return await main
    except asyncio.CancelledError:
        if terminated:
            raise KeyboardInterrupt from None
        raise
    finally:
        with suppress(NotImplementedError):
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
