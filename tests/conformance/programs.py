"""A program under test: commands as lines on its stdin, answers as lines on its stdout (PROTOCOL.md)."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

ANSWER_S: Final = 30.0
"""For one answer, on a machine that does much else."""
END_S: Final = 5.0
_STDERR_LINES: Final = 30


class ProgramError(Exception):
    """The program ended, stayed silent, or wrote what is no answer. The message has the end of its stderr."""


class Process:
    """A child with pipes, whose stderr is kept and which is ended by its pid."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], *, stdin: int = subprocess.PIPE
    ) -> None:
        self.name = name
        self.child = subprocess.Popen(
            list(command),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
        self.lines: queue.Queue[bytes | None] = queue.Queue()
        self._errors: deque[str] = deque(maxlen=_STDERR_LINES)
        self._readers = [threading.Thread(target=reader, daemon=True) for reader in (self._read_stdout, self._read_stderr)]
        for thread in self._readers:
            thread.start()

    @property
    def stderr_tail(self) -> str:
        return "\n".join(self._errors)

    def line(self, wait_s: float) -> bytes | None:
        """The next line of stdout; None when there will be none.

        Raises:
            ProgramError: none came in time.
        """
        try:
            return self.lines.get(timeout=wait_s)
        except queue.Empty:
            raise ProgramError(f"{self.name} wrote nothing for {wait_s:g} s; its stderr ends with:\n{self.stderr_tail}") from None

    def write(self, line: bytes) -> None:
        assert self.child.stdin is not None
        try:
            self.child.stdin.write(line)
            self.child.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise ProgramError(f"{self.name} has ended; its stderr ends with:\n{self.stderr_tail}") from None

    def close_stdin(self) -> None:
        if self.child.stdin is not None:
            try:
                self.child.stdin.close()
            except BrokenPipeError:
                pass  # it went first

    def end(self) -> int:
        """End it, gently at first; its exit code."""
        self.close_stdin()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None and self.child.poll() is None:
                self.child.send_signal(number)
            try:
                code = self.child.wait(END_S)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            raise ProgramError(f"{self.name} (pid {self.child.pid}) cannot be ended")
        for thread in self._readers:
            thread.join(END_S)
        for pipe in (self.child.stdout, self.child.stderr):
            if pipe is not None and not any(thread.is_alive() for thread in self._readers):
                pipe.close()
        return code

    def _read_stdout(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def _read_stderr(self) -> None:
        assert self.child.stderr is not None
        for line in self.child.stderr:
            self._errors.append(line.decode("utf-8", "replace").rstrip())


class Answers:
    """What comes for one command: events, then `ok` or `error`."""

    def __init__(self, program: ClientProgram, number: int) -> None:
        self.number = number
        self.events: list[Any] = []
        self.final: dict[str, Any] | None = None
        self._program = program
        self._came = threading.Condition()

    def take(self, line: dict[str, Any]) -> None:
        with self._came:
            if "event" in line:
                self.events.append(line["event"])
            else:
                self.final = line
            self._came.notify_all()

    def give_up(self) -> None:
        with self._came:
            self._came.notify_all()

    def wait_events(self, count: int, wait_s: float = ANSWER_S) -> None:
        """Until so many events have come, or the answer has ended."""
        self._wait(lambda: len(self.events) >= count or self.final is not None, f"event {count}", wait_s)

    def wait(self, wait_s: float = ANSWER_S) -> dict[str, Any]:
        """The last line of the answer: it has `ok` or `error`."""
        self._wait(lambda: self.final is not None, "its answer", wait_s)
        assert self.final is not None
        return self.final

    def _wait(self, condition: Any, what: str, wait_s: float) -> None:
        program = self._program
        with self._came:
            if self._came.wait_for(lambda: condition() or program.has_ended, wait_s) and condition():
                return
        state = "has ended" if program.has_ended else f"did not give {what} within {wait_s:g} s"
        raise ProgramError(f"{program.process.name} {state}; its stderr ends with:\n{program.process.stderr_tail}")


class ClientProgram:
    """A conformance client: any number of commands at once."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FLOWSPAN_")}
        self.process = Process(name, command, environment)
        self.has_ended = False
        self._open: dict[int, Answers] = {}
        self._last = 0
        self.noise: list[bytes] = []
        """Lines on its stdout that are no answers."""
        threading.Thread(target=self._dispatch, daemon=True).start()

    def begin(self, op: str, members: Mapping[str, Any]) -> Answers:
        self._last += 1
        answers = self._open[self._last] = Answers(self, self._last)
        line = json.dumps({"id": self._last, "op": op, **members}, ensure_ascii=False, separators=(",", ":"))
        self.process.write(line.encode() + b"\n")
        return answers

    def ask(self, op: str, /, **members: Any) -> dict[str, Any]:
        """One command; its `ok`.

        Raises:
            ProgramError: it failed.
        """
        final = self.begin(op, members).wait()
        if "ok" not in final:
            raise ProgramError(f"{self.process.name}: {op} failed: {final.get('error')}")
        answer: dict[str, Any] = final["ok"]
        return answer

    def end(self) -> int:
        return self.process.end()

    def _dispatch(self) -> None:
        while (line := self.process.lines.get()) is not None:
            try:
                message = json.loads(line)
                answers = self._open[message["id"]]
            except (ValueError, KeyError, TypeError):
                self.noise.append(line[:200])
                continue
            answers.take(message)
        self.has_ended = True
        for answers in list(self._open.values()):
            answers.give_up()
