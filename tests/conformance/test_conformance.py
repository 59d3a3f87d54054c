"""All SDKs whose toolchain is here, over every transport: what `python -m tests.conformance` runs, group by group.

An SDK without its toolchain has no tests here; the end of the run says so.
"""

from __future__ import annotations

import pytest

from .cases import Group, load_groups
from .runner import BAD, Runner, transports_of
from .sdks import BUILD_S, SDKS

PARAMETERS = [
    pytest.param(group, sdk.name, transport, id=f"{sdk.name}-{transport}-{group.program}-{group.name}")
    for sdk in SDKS
    if sdk.missing is None
    for group in load_groups()
    for transport in transports_of(group)
]
GROUP_S = 240


# The first test of an SDK builds it, if `make sdks` has not.
@pytest.mark.timeout(BUILD_S + GROUP_S)
@pytest.mark.parametrize(("group", "sdk", "transport"), PARAMETERS)
def test_conformance(runner: Runner, group: Group, sdk: str, transport: str) -> None:
    outcomes = runner.run(group, sdk, transport)
    bad = [f"{outcome.group}/{outcome.case}: {outcome.verdict}: {outcome.text}" for outcome in outcomes if outcome.verdict in BAD]
    assert outcomes and not bad, "\n".join(bad)
