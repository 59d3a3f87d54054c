"""What is done per item, as calls of functions. Whoever adds one has to come by here and say why; whoever saves one lowers
the bound."""

from __future__ import annotations

from tests.shape.counted_run import CountedRun
from tests.shape.counting import Calls

OURS = ("runtime_core/", "gateway/", "flowspan/")
CHEAP = ("builtins.len", "list.append", "dict.pop")
"""Less than 0.05 us each: they are what loops over a batch consist of."""


def per_item(calls: Calls, items: int) -> tuple[float, float, dict[str, int]]:
    """Calls of our functions and of others, for each item; and which these are. What is called per batch is left out."""
    named = {name: count for name, count in calls.at_least(items // 2).items() if name not in CHEAP}
    ours = sum(count for name, count in named.items() if any(part in name for part in OURS))
    return ours / items, (sum(named.values()) - ours) / items, named


def test_the_gateway_calls_two_functions_of_its_own_and_three_others_per_item(plain_run: CountedRun) -> None:
    ours, others, named = per_item(plain_run.gateway, plain_run.items)
    assert ours < 3, named
    assert others < 4, named


def test_the_component_server_calls_six_functions_of_its_own_and_four_others_per_item(plain_run: CountedRun) -> None:
    ours, others, named = per_item(plain_run.component, plain_run.items)
    assert ours < 7, named
    assert others < 5, named


def test_pipes_are_read_and_written_in_bulk_on_both_sides(plain_run: CountedRun) -> None:
    pipe_calls = ("posix.read", "posix.write", "posix.writev", ".recv", ".send", "BufferedWriter.", "BufferedReader.")
    for calls in (plain_run.gateway, plain_run.component):
        assert calls.of(*pipe_calls) < plain_run.items / 5, calls.at_least(400)
    assert plain_run.gateway.of("jsonrpc/session.py:Session.receive") < plain_run.items / 5


def test_no_log_line_per_item(plain_run: CountedRun) -> None:
    for calls in (plain_run.gateway, plain_run.component):
        assert calls.of("structlog/", "logging/") < plain_run.items / 4
