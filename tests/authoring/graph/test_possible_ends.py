"""What a log tells of steps that it has no event for: held against executions of random flows, and on some that matter."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

from flowspan.errors import FlowErrorCode
from flowspan.view.events import Event, ItemCompleted, Outcome, StepCompleted
from gateway.authoring.graph.possible_ends import End
from gateway.authoring.graph.run_tally import RunTally
from runtime_core.calls import CallFailure
from runtime_core.flow.document import Flow
from runtime_core.flow.execution import ItemExecution
from runtime_core.flow.expressions import FAILED, IN_FLIGHT, SKIPPED, SUCCESS
from runtime_core.flow.parse import check_flow
from runtime_core.flow.plan import FlowPlan, compile_flow

OUTPUTS = [b"null", b"false", b"1", b'{"a":1}', b'{"a":null,"b":[]}', b'{"a":false}']
INPUTS = [b"null", b"false", b"2", b'{"a":1}', b'{"a":null}', b'{"b":false}']
SKIP = b'{"reason":"it says so"}'


class Maker:
    """Random flows, and random ways through them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def expression(self, steps: int, depth: int = 0) -> Any:
        kinds = ["step"] * 4 + ["input", "constant", "variable"] + (["if", "coalesce", "object", "array"] if depth < 2 else [])
        kind = self.random.choice(kinds)
        if kind == "step" and steps:
            found: dict[str, Any] = {"$step": f"s{self.random.randrange(steps)}"}
            if self.random.random() < 0.4:
                found["path"] = self.random.choice(["$.a", "$.b"])
            if self.random.random() < 0.3:
                found["onSkip"] = {"action": "useDefault", "defaultValue": self.expression(steps, depth + 1)}
            return found
        if kind == "input":
            return {"$input": self.random.choice(["$", "$.a"])}
        if kind == "variable":
            return {"$variable": "v", "default": self.expression(steps, depth + 1)} if depth < 2 else {"$variable": "v"}
        if kind == "if":
            return {"$if": self.expression(steps, depth + 1), "then": self.expression(steps, depth + 1)} | (
                {"else": self.expression(steps, depth + 1)} if self.random.random() < 0.7 else {}
            )
        if kind == "coalesce":
            return {"$coalesce": [self.expression(steps, depth + 1) for _ in range(self.random.randint(1, 3))]}
        if kind == "object":
            return {f"k{n}": self.expression(steps, depth + 1) for n in range(self.random.randint(1, 3))}
        if kind == "array":
            return [self.expression(steps, depth + 1) for _ in range(self.random.randint(1, 3))]
        return self.random.choice([None, False, True, 0, "x"])

    def flow(self) -> Flow:
        steps: list[Any] = []
        for index in range(self.random.randint(1, 5)):
            step: dict[str, Any] = {"id": f"s{index}", "component": "/p/x", "input": self.expression(index)}
            if self.random.random() < 0.3:
                step["skip"] = self.expression(index)
            if self.random.random() < 0.15:
                step["mustExecute"] = True
            if self.random.random() < 0.3:
                step["onError"] = self.random.choice([{"action": "skip"}, {"action": "useDefault", "defaultValue": {"a": None}}])
            steps.append(step)
        flow = check_flow({"steps": steps, "output": self.expression(len(steps))}).flow
        assert flow is not None
        return flow

    def item(self, plan: FlowPlan, item: int, *, is_journaled: bool) -> tuple[list[Event], list[End]]:
        """The item's events as the engine logs them, and how its steps ended in truth."""
        chance = self.random
        bound = plan.bind({"v": chance.choice([None, 1])} if chance.random() < 0.5 else {})
        execution = ItemExecution(plan, chance.choice(INPUTS), bound.bound)
        events: list[Event] = []
        called: set[int] = set()
        ready = [call.step.index for call in execution.start()]
        while execution.result is None:
            if not ready or chance.random() < 0.05:
                cancelled = b'{"code":"CANCELLED","message":"the run was cancelled"}'
                return [*events, ItemCompleted(item, Outcome.CANCELLED, cancelled)], truth(
                    plan, execution, called, cancelled=True
                )
            step = ready.pop(chance.randrange(len(ready)))
            called.add(step)
            outcome = chance.choices([Outcome.SUCCESS, Outcome.FAILED, Outcome.SKIPPED], [6, 2, 1])[0]
            failure = CallFailure(FlowErrorCode.COMPONENT_FAILED, f"of s{step}").payload()
            payload = {Outcome.SUCCESS: chance.choice(OUTPUTS), Outcome.FAILED: failure}.get(outcome, SKIP)
            ready += [call.step.index for call in execution.complete(step, outcome, payload)]
            has_ended = execution.result is not None
            if is_journaled and not (has_ended and outcome is Outcome.SUCCESS):
                events.append(StepCompleted(item, step, outcome, payload))
        end = execution.result
        return [*events, ItemCompleted(item, end.outcome, end.payload)], truth(plan, execution, called)


def truth(plan: FlowPlan, execution: ItemExecution, called: set[int], *, cancelled: bool = False) -> list[End]:
    found: list[End] = []
    for index in range(len(plan.steps)):
        state = execution.states[index]
        if state == FAILED:
            place = json.loads(execution.payloads[index]).get("data", {}).get("path", "")
            found.append(End.FAILED if index in called or place.startswith(f"/steps/{index}/") else End.THROUGH)
        elif state == IN_FLIGHT and cancelled:
            found.append(End.CANCELLED)
        else:
            found.append({SUCCESS: End.SUCCESS, SKIPPED: End.SKIPPED}.get(state, End.NONE))
    return found


WORDS = {"success": End.SUCCESS, "failed": End.FAILED, "skipped": End.SKIPPED, "cancelled": End.CANCELLED}


def check(seed: int, told: Counter[str]) -> None:
    maker = Maker(seed)
    flow = maker.flow()
    plan = compile_flow(flow)
    is_journaled = plan.component_steps > 1 and maker.random.random() < 0.7
    ways = [maker.item(plan, 0, is_journaled=is_journaled) for _ in range(4)]
    for events, ends in ways:
        has_payloads = maker.random.random() < 0.8
        tally = RunTally(flow)
        if is_journaled:  # another item that has not ended shows that the run logs its steps
            tally.apply([StepCompleted(1, 0, Outcome.SUCCESS, b"1")])
        tally.apply(
            [event if has_payloads or not hasattr(event, "payload") else bare(event) for event in events],
            has_payloads=has_payloads,
        )
        statuses = tally.statuses()
        assert tally.contradicts == 0, (seed, flow.value, events)
        for index, end in enumerate(ends):
            status = statuses[f"/steps/{index}"]
            counts = {word: getattr(status, word) for word in (*WORDS, "untold")}
            if is_journaled and index == 0:
                counts["success"] -= 1
            context = (seed, json.dumps(flow.value), events, index, end, counts)
            told["untold" if counts["untold"] else "told"] += 1
            for word, one in WORDS.items():
                assert not counts[word] or end is one, context
            if not any(counts.values()):
                assert end in (End.NONE, End.THROUGH, End.SKIPPED), context
            if end is End.FAILED:
                assert counts["failed"] or status.doubtful, context


def bare(event: Any) -> Any:
    fields = [getattr(event, name) for name in event.__struct_fields__]
    return type(event)(*(b"" if isinstance(field, bytes) else field for field in fields))


def test_what_is_told_is_true_and_no_failure_is_hidden() -> None:
    told: Counter[str] = Counter()
    for seed in range(600):
        check(seed, told)
    assert told["told"] > 2 * told["untold"], told
