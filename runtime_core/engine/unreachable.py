"""What stands where no component server is: paths that lead nowhere, and flows that call nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runtime_core.calls import CallFailure, ComponentCall

BROKEN_SLOTS: Final = 256
"""Items that a server which cannot be used fails per turn: enough to be quick, small enough to let others in."""


class Unreachable:
    """Stands for the server of a path that leads nowhere, and for items that call nothing."""

    keeps_timeouts: Final = False
    waiting_for: Final = None

    def __init__(self, name: str, broken: CallFailure | None) -> None:
        self.name = name
        self.broken = broken

    def journals(self, component: str) -> bool:
        return False

    def free_slots(self) -> int:
        return BROKEN_SLOTS

    def start(self, calls: Sequence[ComponentCall]) -> None:
        raise AssertionError(f"nothing can be sent to {self.name}")

    def instant(self, component: str) -> None:
        return None

    def can_start_alone(self) -> bool:
        return False

    start_alone = start

    def park(self, call: ComponentCall) -> None:
        """Nothing runs here."""

    def try_unpark(self, call: ComponentCall) -> bool:
        return True

    time_out = start

    async def cancel(self, calls: Sequence[ComponentCall]) -> int:
        return 0
