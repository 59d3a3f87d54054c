"""Runs flows through the whole core in memory; every component below `/p/` answers as a test says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from flowspan.errors import FlowErrorCode, FlowspanError
from flowspan.view.flow_result import flow_result_to_wire
from flowspan.view.status import RunStatus
from runtime_core.api import SubmitRun
from runtime_core.calls import CallFailure, ComponentCall
from runtime_core.limits import Limits
from runtime_core.ports import RunFilter, Store
from tests.engine.house import House, house

JsonDict = dict[str, Any]
Document = JsonDict | str | bytes
"""A flow as an object, or as the text of a file."""


class Open:
    """The type of `OPEN`."""


OPEN: Final = Open()
"""An answer that never comes."""


@dataclass(frozen=True, slots=True)
class Called:
    """One attempt, as the component saw it. `raw`: the input's bytes."""

    run_id: str
    item: int
    step: str
    attempt: int
    raw: bytes

    @property
    def input(self) -> Any:
        return json.loads(self.raw)


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that has ended. `results`: a FlowResult per item, in the order of the inputs; `raw`: the same as bytes."""

    status: RunStatus
    raw: tuple[bytes, ...]
    calls: tuple[Called, ...]

    @property
    def results(self) -> list[JsonDict]:
        return [json.loads(one) for one in self.raw]

    @property
    def result(self) -> JsonDict:
        (only,) = self.results
        return only

    @property
    def value(self) -> Any:
        """The value of the only item, which must have succeeded."""
        assert self.result["outcome"] == "success", self.result
        return self.result["value"]

    @property
    def error(self) -> JsonDict:
        """Code and message of the only item, which must have failed."""
        assert self.result["outcome"] == "failed", self.result
        return {key: self.result["error"][key] for key in ("code", "message")}

    @property
    def steps(self) -> list[str]:
        """Steps in the order of their calls."""
        return [one.step for one in self.calls]

    def input_of(self, step: str) -> Any:
        """What the only call of a step was given."""
        (only,) = (one for one in self.calls if one.step == step)
        return only.input


def failed(message: str = "broken", code: str = "COMPONENT_FAILED", **options: Any) -> CallFailure:
    """An answer: the attempt failed."""
    return CallFailure(FlowErrorCode(code), message, **options)


def step(step_id: str, given: Any = None, **fields: Any) -> JsonDict:
    """A step of component `/p/<id>`."""
    return {"id": step_id, "component": f"/p/{step_id}", "input": given, **fields}


def flow(*steps: JsonDict, output: Any = None, **fields: Any) -> JsonDict:
    return {"name": "flow", "description": "a test's", "steps": list(steps), "output": output, **fields}


def of(step_id: str, path: str | None = None, **fields: Any) -> JsonDict:
    """A reference to a step."""
    return {"$step": step_id, **({} if path is None else {"path": path}), **fields}


class Language:
    """A core that stands until the test is over, and what its component server saw."""

    def __init__(self, core: House, answers: Mapping[str, Any]) -> None:
        self.core = core
        self.runtime = core.runtime
        self.answers = dict(answers)
        self.calls: list[Called] = []
        core.server.behave = self._behave

    def _behave(self, call: ComponentCall) -> bytes | CallFailure | None:
        template = call.template
        self.calls.append(Called(template.run_id, call.item_index, template.step_id, call.attempt, call.input))
        answer = self.answers.get(template.step_id, call.input)
        if isinstance(answer, Attempts):
            answer = answer.answers[min(call.attempt, len(answer.answers)) - 1]
        if answer is OPEN:
            return None
        if isinstance(answer, bytes | CallFailure):
            return answer
        return json.dumps(answer).encode()

    async def store(self, document: Document) -> str:
        return (await self.runtime.store_flow(_bytes(document))).flow_id

    async def submit(self, document: Document, *inputs: Any, **options: Any) -> RunStatus:
        """`options` of `SubmitRun`; `overrides` and `variables` as Python values; an input given as bytes stands as it is."""
        encoded = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in inputs]
        for name in ("overrides", "variables"):
            if name in options:
                options[name] = json.dumps(options[name]).encode()
        return await self.runtime.submit_run(SubmitRun(await self.store(document), encoded, **options))

    async def run(self, document: Document, *inputs: Any, **options: Any) -> Ran:
        """From submit to the end."""
        return await self.ended(await self.submit(document, *inputs, **options))

    async def ended(self, status: RunStatus) -> Ran:
        """The run consumed to its end."""
        fold = await self.core.follow(status.run_id)
        raw = tuple(
            flow_result_to_wire(result.outcome, result.payload)
            for result in sorted(fold.results, key=lambda result: result.item_index)
        )
        return Ran(fold.snapshot(), raw, tuple(self.calls))

    async def refusal(self, document: Document, *inputs: Any, **options: Any) -> FlowspanError:
        """Why a submit is refused, which leaves no run."""
        with pytest.raises(FlowspanError) as refused:
            await self.submit(document, *inputs, **options)
        assert await self.run_ids() == []
        return refused.value

    async def run_ids(self) -> list[str]:
        """All runs there are, newest first."""
        page = await self.runtime.list_runs(RunFilter("default"), page_size=100, page_token=None)
        return [one.run_id for one in page.runs]

    async def findings(self, document: Document) -> list[JsonDict]:
        """What a dry run says about a document."""
        return [dict(one) for one in (await self.runtime.store_flow(_bytes(document), dry_run=True)).diagnostics]


@dataclass(frozen=True, slots=True)
class Attempts:
    """Answers by attempt; the last one stays."""

    answers: tuple[Any, ...]


def attempts(*answers: Any) -> Attempts:
    return Attempts(answers)


@asynccontextmanager
async def language(*, limits: Limits | None = None, store: Store | None = None, **answers: Any) -> AsyncIterator[Language]:
    """A core for one test; a step without an answer answers with its input."""
    async with house(limits=limits, store=store) as core:
        yield Language(core, answers)


async def run(document: Document, *inputs: Any, answers: Mapping[str, Any] | None = None, **options: Any) -> Ran:
    """One run in a core of its own; without inputs: one item, null."""
    async with language(**(answers or {})) as one:
        return await one.run(document, *(inputs or (None,)), **options)


async def findings(document: Document) -> list[JsonDict]:
    """Diagnostics of a document."""
    async with language() as one:
        return await one.findings(document)


def kinds(found: Sequence[JsonDict]) -> list[tuple[int, str]]:
    """Codes and places."""
    return [(one["code"], one["path"]) for one in found]


def _bytes(document: Document) -> bytes:
    if isinstance(document, bytes):
        return document
    return document.encode() if isinstance(document, str) else json.dumps(document).encode()
