"""Signs of life, by a clock of the test's own."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.stdio_bridge.liveness import Liveness


@dataclass
class Pipe:
    is_running: bool = True
    stdin_is_open: bool = True
    stalled_since: float | None = None


def watched(pipe: Pipe, pings: list[float] | None = None) -> Liveness:
    sent = pings if pings is not None else []
    return Liveness(pipe, 30, 10, lambda: sent.append(1))


def test_a_pipe_that_takes_nothing_is_a_fault_after_the_stall_only() -> None:
    live = watched(Pipe(stalled_since=100.0))
    assert live.find_fault(130.0, answers_pings=False) is None
    assert live.find_fault(130.1, answers_pings=False) == "it has not read its stdin for 30 s"


def test_a_line_may_stay_unfinished_as_long_as_bytes_of_it_come() -> None:
    live = watched(Pipe())
    for now in range(0, 300, 10):
        live.on_read(now + 1, float(now))
        assert live.find_fault(now + 29.0, answers_pings=False) is None
    assert "unfinished" in (live.find_fault(320.5, answers_pings=False) or "")
    live.on_read(0, 321.0)
    assert live.find_fault(1000.0, answers_pings=False) is None


def test_a_closed_stdin_is_a_fault_at_the_second_look_if_the_process_lives_on() -> None:
    pipe = Pipe(stdin_is_open=False)
    live = watched(pipe)
    assert live.find_fault(1.0, answers_pings=False) is None
    assert live.find_fault(2.0, answers_pings=False) == "it closed its stdin"
    pipe.is_running = False
    assert live.find_fault(3.0, answers_pings=False) is None


def test_three_pings_without_an_answer_are_a_fault_and_an_answer_forgives_them() -> None:
    pings: list[float] = []
    live = watched(Pipe(), pings)
    assert [live.find_fault(float(now), answers_pings=True) for now in range(10, 31)] == [None] * 21
    assert len(pings) == 3
    live.on_pong()
    assert [live.find_fault(float(now), answers_pings=True) for now in (40, 50, 60)] == [None] * 3
    assert "3 pings" in (live.find_fault(70.0, answers_pings=True) or "")


def test_servers_that_answer_no_pings_are_sent_none() -> None:
    pings: list[float] = []
    assert watched(Pipe(), pings).find_fault(1000.0, answers_pings=False) is None
    assert pings == []
