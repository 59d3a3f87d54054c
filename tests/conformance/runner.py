"""Runs groups of cases for an SDK and a transport, and says how each case went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from .cases import CLIENT, SERVER, Case, Group, written
from .gateways import TRANSPORTS, ClientHouse, ServerHouse
from .known import KnownFailure, find, load_known
from .play import CaseFailure, Player
from .sdks import NotRunError, build
from .wire import wire_cases

DIRECT: Final = "grpc"
"""How clients are connected."""
WIRE: Final = "wire"
"""The checks of `flowspan conformance`, on the SDK's server."""


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    KNOWN = "known"
    """It failed, as the list of known failures says."""
    UNEXPECTED = "unexpected"
    """It passed, though it is listed as failing."""
    NOT_OFFERED = "not offered"
    """It needs a component that this SDK's server does not have."""


BAD: Final = frozenset({Verdict.FAILED, Verdict.UNEXPECTED})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one case went. `text`: why it failed, or why that was known."""

    sdk: str
    transport: str
    group: str
    case: str
    verdict: Verdict
    text: str = ""
    took_s: float = 0.0


class Runner:
    """Houses are opened when they are needed, used for all groups, and closed at the end."""

    def __init__(self, load_known: Callable[[str], Iterable[KnownFailure]] = load_known) -> None:
        self._load_known = load_known
        self._houses: dict[tuple[str, str], ClientHouse | ServerHouse] = {}

    def run(self, group: Group, sdk: str, transport: str) -> list[Outcome]:
        """All cases of a group.

        Raises:
            NotRunError: the SDK cannot be tested here.
            ProgramError: its program, or the gateway, does not even start.
        """
        if group.name == WIRE:
            return self._judged(group, sdk, transport, wire_cases(self._command(sdk, SERVER)))
        house = self._house(sdk, transport)
        client = house.client
        assert client is not None
        names = {}
        for name, flow in group.flows.items():
            names[name] = client.ask("store_flow", flow_json=written(flow))["flow_id"]
        components = house.components if isinstance(house, ServerHouse) else frozenset[str]()

        def player_of(case: Case) -> Callable[[], None] | None:
            if not components.issuperset(case.needs):
                return None
            return lambda: Player(client, house.gateway, {"flow": names}).play(case)

        return self._judged(
            group,
            sdk,
            transport,
            [(case.name, player_of(case)) for case in group.cases if not case.transports or transport in case.transports],
        )

    def close(self) -> None:
        while self._houses:
            self._houses.popitem()[1].end()

    def _judged(
        self, group: Group, sdk: str, transport: str, cases: Sequence[tuple[str, Callable[[], None] | None]]
    ) -> list[Outcome]:
        listed = tuple(self._load_known(sdk))
        outcomes = []
        for name, play in cases:
            begun_s = time.monotonic()
            entry = find(listed, f"{group.name}/{name}", transport)
            failure = None
            if play is not None:
                try:
                    play()
                except CaseFailure as error:
                    failure = str(error)
            if play is None:
                verdict, text = Verdict.NOT_OFFERED, ""
            elif failure is None:
                verdict, text = (
                    (Verdict.PASSED, "") if entry is None else (Verdict.UNEXPECTED, f"listed as failing: {entry.reason}")
                )
            else:
                verdict, text = (Verdict.FAILED, failure) if entry is None else (Verdict.KNOWN, entry.reason)
            outcomes.append(Outcome(sdk, transport, group.name, name, verdict, text, time.monotonic() - begun_s))
        return outcomes

    def _house(self, sdk: str, transport: str) -> ClientHouse | ServerHouse:
        house = self._houses.get((sdk, transport))
        if house is not None and (house.client is None or house.client.has_ended):
            # A case has killed the program; that case has failed, the others have a right to be seen.
            self._houses.pop((sdk, transport)).end()
            house = None
        if house is None:
            if transport == DIRECT:
                house = ClientHouse(sdk, self._command(sdk, CLIENT))
            else:
                house = ServerHouse(sdk, transport, self._command(sdk, SERVER), self._command("python", CLIENT))
            self._houses[sdk, transport] = house
        return house

    def _command(self, sdk: str, program: str) -> tuple[str, ...]:
        built = build(sdk)
        command = built.client if program == CLIENT else built.server
        if command is None:
            raise NotRunError(f"clients/{sdk} has no conformance {program} yet")
        return command


def transports_of(group: Group) -> tuple[str, ...]:
    if group.program == CLIENT:
        return (DIRECT,)
    return group.transports or TRANSPORTS
