"""A component server under test: its process, and every line that it writes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flowspan.errors import UnavailableError

MAX_LINE_BYTES: Final = 64 << 20
"""More than a gateway takes: the checks shall see what comes."""
END_S: Final = 5.0
"""For an ordered end; what is still there then is killed."""
_STDERR_LINES: Final = 20
_KEPT: Final = 50
"""Lines of noise, and answers that nobody asked for: the first ones tell enough."""

Message = dict[str, Any]


class NoAnswerError(Exception):
    """What came instead of an answer: nothing in time, or the end of the process. The text is for people."""


class ServerProcess:
    """One life of the program. `open` starts it, `aclose` ends it with all its children.

    Attributes:
        noise: lines on stdout that are no messages.
        unasked: answers to ids that were never asked about.
        repeated: further answers to ids that had one, or had none in time.
        early: requests and notifications that came before `initialized` was sent.
        notifications: the server's, in the order in which they came, until somebody takes them.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._child: asyncio.subprocess.Process | None = None
        self._open: dict[int | str, asyncio.Future[Message]] = {}
        self._readers: list[asyncio.Task[None]] = []
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._is_initialized = False
        self.noise: list[str] = []
        self.unasked: list[Message] = []
        self.repeated: list[Message] = []
        self._asked: set[int | str] = set()
        self.early: list[Message] = []
        self.notifications: asyncio.Queue[Message] = asyncio.Queue()

    async def open(self) -> None:
        """Start the program.

        Raises:
            UnavailableError: it cannot be started.
        """
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOWSPAN_")}
        pipe = asyncio.subprocess.PIPE
        try:
            self._child = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                env=environment,
                limit=MAX_LINE_BYTES,
                start_new_session=True,
            )
        except OSError as error:
            raise UnavailableError(f"cannot start {self._command[0]!r}: {error.strerror or error}") from error
        self._readers = [asyncio.create_task(self._read_stdout()), asyncio.create_task(self._read_stderr())]

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None or self._readers[0].done()

    @property
    def stderr_tail(self) -> Sequence[str]:
        return tuple(self._stderr)

    async def end_text(self, wait_s: float = 1.0) -> str:
        """How it ended, with the last of its log. To be asked when it has, or is about to."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._process.wait()
                await asyncio.gather(*self._readers, return_exceptions=True)
        code = self._process.returncode
        if code is None:
            how = "it closed its stdout and goes on"
        elif code < 0:
            how = f"it was ended by {signal.Signals(-code).name}"
        else:
            how = f"it ended with exit code {code}"
        return how + (f"; stderr ends with: {' | '.join(list(self._stderr)[-3:])}" if self._stderr else "")

    async def request(self, method: str, params: Mapping[str, Any] | None, number: int | str, wait_s: float) -> Message:
        """Send a request; the whole message that answers it.

        Raises:
            NoAnswerError: none came.
        """
        message: Message = {"jsonrpc": "2.0", "id": number, "method": method}
        if params is not None:
            message["params"] = params
        return await self.answer_to(self.ask(message), wait_s)

    def ask(self, message: Message) -> int | str:
        """Send a request without waiting; its id."""
        number = self.expect(message["id"])
        self.send(message)
        return number

    def expect(self, number: int | str) -> int | str:
        """From here on an answer to this id is no surprise: the request itself is sent as bytes."""
        self._open[number] = asyncio.get_running_loop().create_future()
        self._asked.add(number)
        return number

    async def answer_to(self, number: int | str, wait_s: float) -> Message:
        future = self._open[number]
        try:
            async with asyncio.timeout(wait_s):
                return await future
        except TimeoutError:
            raise NoAnswerError(f"no answer within {wait_s:g} s") from None
        finally:
            self._open.pop(number, None)

    async def notification(self, method: str, wait_s: float) -> Message:
        """The next one with this method; others before it are dropped.

        Raises:
            NoAnswerError: none came.
        """
        try:
            async with asyncio.timeout(wait_s):
                while (message := await self.notifications.get())["method"] != method:
                    pass
        except TimeoutError:
            raise NoAnswerError(f"no {method} within {wait_s:g} s") from None
        return message

    def notify(self, method: str, params: Mapping[str, Any]) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})
        if method == "initialized":
            self._is_initialized = True

    def send(self, message: Message) -> None:
        self.send_bytes(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def send_bytes(self, data: bytes) -> None:
        assert self._process.stdin is not None
        if not self._process.stdin.is_closing():
            self._process.stdin.write(data)

    async def drain(self, wait_s: float) -> None:
        """Until the server has read what was sent, or nearly.

        Raises:
            NoAnswerError: it does not read.
        """
        assert self._process.stdin is not None
        try:
            async with asyncio.timeout(wait_s):
                await self._process.stdin.drain()
        except TimeoutError:
            raise NoAnswerError(f"it did not read its stdin for {wait_s:g} s") from None
        except ConnectionError:
            raise NoAnswerError(await self.end_text()) from None

    async def close_stdin(self, wait_s: float) -> bool:
        """Whether it ended within the time."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(wait_s):
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    async def aclose(self) -> None:
        child = self._child
        if child is None:
            return
        assert child.stdin is not None
        if child.returncode is None and not child.stdin.is_closing():  # else it has had its time
            await self.close_stdin(END_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)  # its own group: it was started as the leader of a session
        await child.wait()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    @property
    def _process(self) -> asyncio.subprocess.Process:
        assert self._child is not None, "open() comes first"
        return self._child

    async def _read_stdout(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):  # a line beyond all bounds
            while line := await self._process.stdout.readline():
                self._take(line)
        reason = await self._why_it_ended()
        for future in self._open.values():
            if not future.done():
                future.set_exception(NoAnswerError(reason))

    async def _why_it_ended(self) -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._process.wait()
                await self._readers[1]
        code = self._process.returncode
        said = f"; stderr ends with: {' | '.join(list(self._stderr)[-3:])}" if self._stderr else ""
        return f"{'its stdout was closed' if code is None else f'the process ended ({code})'}{said}"

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            if line.strip() and len(self.noise) < _KEPT:
                self.noise.append(line[:200].decode("utf-8", "replace").rstrip())
            return
        if "method" in message:
            if not self._is_initialized and len(self.early) < _KEPT:
                self.early.append(message)
            self.notifications.put_nowait(message)
            return
        number = message.get("id")
        future = self._open.get(number) if isinstance(number, (int, str)) else None
        if future is None or future.done():
            kept = self.repeated if isinstance(number, (int, str)) and number in self._asked else self.unasked
            if len(kept) < _KEPT:
                kept.append(message)
        else:
            future.set_result(message)

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        with contextlib.suppress(ValueError):
            while line := await self._process.stderr.readline():
                self._stderr.append(line[:300].decode("utf-8", "replace").rstrip())
