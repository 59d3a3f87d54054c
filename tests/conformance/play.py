"""Plays one case: its steps in order, on a program and the gateway it is connected to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from .cases import Case, in_texts, substituted
from .gateways import GatewayProcess
from .matching import Mismatch, match
from .programs import Answers, ClientProgram, ProgramError

_OF_THE_STEP: Final = frozenset({"as", "expect", "fails", "begin", "events", "wait_s"})
_OF_THE_RUNNER: Final = frozenset(
    {"finish", "await_events", "cut", "stall", "resume", "reconnect", "ends", "generate", "compare", "decode"}
)


class CaseFailure(Exception):
    """The case does not hold. The message names the step and what differed."""


class Player:
    """What the steps of one case share.

    Args:
        names: what `$NAME` stands for at the beginning: `flow`.
    """

    def __init__(self, client: ClientProgram, gateway: GatewayProcess, names: Mapping[str, Any]) -> None:
        self._client = client
        self._gateway = gateway
        self._names: dict[str, Any] = dict(names)
        self._begun: dict[str, Answers] = {}
        self._has_relay = False

    def play(self, case: Case) -> None:
        """Raises CaseFailure if a step does not go as the case says."""
        try:
            for position, step in enumerate(case.steps, 1):
                try:
                    self._step(step)
                except (Mismatch, ProgramError, LookupError) as error:
                    op = next(iter(step.keys() - _OF_THE_STEP), "?")
                    raise CaseFailure(f"step {position} ({op}): {error}") from error
        finally:
            if self._has_relay:
                self._gateway.relay.resume()
                self._gateway.connect(self._client)

    def _step(self, step: Mapping[str, Any]) -> None:
        ops = [key for key in step if key not in _OF_THE_STEP]
        if len(ops) != 1:
            raise CaseFailure(f"a step has one op, not {ops}")
        op, members = ops[0], substituted(step[ops[0]], self._names)
        if op in _OF_THE_RUNNER:
            getattr(self, "_" + op)(members, step)
            return
        answers = self._client.begin(op, in_texts(members or {}))
        if step.get("begin"):
            self._begun[step["as"]] = answers
            self._names[step["as"]] = {"number": answers.number}
            return
        self._judge(answers, step)

    def _judge(self, answers: Answers, step: Mapping[str, Any]) -> None:
        final = answers.wait(step["wait_s"]) if "wait_s" in step else answers.wait()
        if "fails" in step:
            if "error" not in final:
                raise Mismatch(f"expected the error {step['fails']}, but it went well: {json.dumps(final['ok'])[:300]}")
            match(substituted(step["fails"], self._names), final["error"])
            return
        if "ok" not in final:
            raise Mismatch(f"failed: {json.dumps(final.get('error'))[:600]}")
        try:
            if "expect" in step:
                match(substituted(step["expect"], self._names), final["ok"])
            if "events" in step:
                match(substituted(step["events"], self._names), answers.events, "/events")
        except Mismatch as mismatch:
            results = final["ok"].get("results") or [event["result"] for event in answers.events]
            errors = [{"item_index": result["item_index"], **result["error"]} for result in results if "error" in result]
            raise Mismatch(f"{mismatch}{'; failed items: ' + json.dumps(errors)[:600] if errors else ''}") from mismatch
        if "as" in step:
            self._names[step["as"]] = {**final["ok"], "events": answers.events}

    # steps of the runner

    def _finish(self, name: str, step: Mapping[str, Any]) -> None:
        """The answer of a command that was begun."""
        self._judge(self._begun.pop(name), step)

    def _ends(self, name: str, step: Mapping[str, Any]) -> None:
        """A command that was begun is over, in whatever way: what it was given up with is the language's own."""
        self._begun.pop(name).wait()

    def _await_events(self, members: Mapping[str, Any], step: Mapping[str, Any]) -> None:
        answers = self._begun[members["of"]]
        answers.wait_events(members["count"])
        if len(answers.events) < members["count"]:
            raise Mismatch(f"it ended after {len(answers.events)} events: {json.dumps(answers.final)[:300]}")

    def _reconnect(self, members: Any, step: Mapping[str, Any]) -> None:
        """Connect the program through the relay; the case's end brings the direct way back."""
        self._has_relay = True
        self._gateway.connect(self._client, through_relay=True)

    def _cut(self, members: Any, step: Mapping[str, Any]) -> None:
        self._gateway.relay.cut()

    def _stall(self, members: Any, step: Mapping[str, Any]) -> None:
        self._gateway.relay.stall()

    def _resume(self, members: Any, step: Mapping[str, Any]) -> None:
        self._gateway.relay.resume()

    def _generate(self, members: Mapping[str, Any], step: Mapping[str, Any]) -> None:
        """Large values: `letters`, `range` or `nested` of so many, as value and as `json`."""
        (kind, size), *_ = members.items()
        if kind == "letters":
            value: Any = "x" * size
        elif kind == "range":
            value = list(range(size))
        else:
            value = []
            for _ in range(size - 1):
                value = [value]
        self._names[step["as"]] = {"value": value, "json": json.dumps(value, separators=(",", ":"))}

    def _decode(self, text: str, step: Mapping[str, Any]) -> None:
        """A JSON text as a value, to look into it or to use parts of it."""
        value = json.loads(text)
        if "expect" in step:
            match(substituted(step["expect"], self._names), value)
        if "as" in step:
            self._names[step["as"]] = value

    def _compare(self, members: Mapping[str, Any], step: Mapping[str, Any]) -> None:
        """`{left, right}` must be equal; with `differ: true` they must not."""
        if (members["left"] == members["right"]) == bool(members.get("differ")):
            raise Mismatch(f"{members['left']!r} and {members['right']!r} are {'' if members.get('differ') else 'not '}equal")
