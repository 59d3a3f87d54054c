"""What servers of all generations say first."""

from __future__ import annotations

import msgspec
import pytest

from flowspan.errors import FlowspanError, LimitExceededError
from gateway.stdio_bridge.handshake import (
    INITIALIZE_PARAMS,
    IncompatibleServerError,
    OfferedComponent,
    ServerDeclaration,
    ServerKind,
    read_components,
    read_initialize,
)


def test_both_spellings_of_the_version_are_sent() -> None:
    assert msgspec.json.decode(INITIALIZE_PARAMS) == {
        "runtimeProtocolVersion": 1,
        "runtime_protocol_version": 1,
        "protocolVersions": [1],
        "capabilities": {"cancel": True, "watch": True, "drain": True, "bulk": True},
    }


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'{"server_protocol_version":1}', ServerDeclaration("stepflow")),
        (b'{"serverProtocolVersion":1}', ServerDeclaration("flowspan")),
        (b'{"serverProtocolVersion":1,"supportsBlobRefs":false}', ServerDeclaration("stepflow")),
        (b'{"serverProtocolVersion":1,"server_protocol_version":1}', ServerDeclaration("flowspan")),
        (b'{"serverProtocolVersion":1,"capacity":7,"reentrant":false}', ServerDeclaration("flowspan", 7, reentrant=False)),
        (b'{"serverProtocolVersion":1,"capabilities":{"capacity":99999}}', ServerDeclaration("flowspan", 4096)),
        (b'{"serverProtocolVersion":1,"capabilities":{"capacity":true}}', ServerDeclaration("flowspan")),
        (b'{"serverProtocolVersion":1,"capabilities":[]}', ServerDeclaration("flowspan")),
        (
            b'{"serverProtocolVersion":1,"capabilities":{"cancelAck":true,"timeouts":true,"started":true,"ping":true,"shutdown":true}}',
            ServerDeclaration("flowspan", None, True, True, True, True, True, True),
        ),
    ],
)
def test_the_dialect_and_the_capabilities_are_read_from_the_answer(answer: bytes, expected: ServerDeclaration) -> None:
    assert read_initialize(answer, None) == expected


def test_a_configured_dialect_wins() -> None:
    assert read_initialize(b'{"serverProtocolVersion":1}', "stepflow").dialect == "stepflow"


@pytest.mark.parametrize(
    "answer",
    [b"{}", b"[]", b"null", b'{"serverProtocolVersion":2}', b'{"serverProtocolVersion":true}', b'{"serverProtocolVersion":"1"}'],
)
def test_another_version_or_none_is_incompatible(answer: bytes) -> None:
    with pytest.raises(IncompatibleServerError):
        read_initialize(answer, None)


def test_components_may_be_names_or_objects_with_or_without_a_slash() -> None:
    listed = (
        b'{"components":["a","/b",{"name":"c","inputSchema":{"x":1}},{"component":"/d","output_schema":true,"description":"D"}]}'
    )
    components, duplicates = read_components(listed)
    assert components == {
        "/a": OfferedComponent("a"),
        "/b": OfferedComponent("/b"),
        "/c": OfferedComponent("c", None, b'{"x":1}'),
        "/d": OfferedComponent("/d", "D", None, b"true"),
    }
    assert duplicates == frozenset()


def test_a_name_listed_twice_is_disabled_under_every_spelling() -> None:
    components, duplicates = read_components(b'{"components":["a","/a","a","b"]}')
    assert (set(components), duplicates) == ({"/b"}, frozenset({"/a"}))


@pytest.mark.parametrize(
    "listed", [b"{}", b'{"components":{}}', b'{"components":[1]}', b'{"components":[""]}', b'{"components":[{}]}']
)
def test_what_is_no_list_of_components_is_incompatible(listed: bytes) -> None:
    with pytest.raises(IncompatibleServerError):
        read_components(listed)


def test_too_long_a_list_is_refused_with_the_figures() -> None:
    with pytest.raises(LimitExceededError) as caught:
        read_components(msgspec.json.encode({"components": [f"c{n}" for n in range(10_001)]}))
    assert caught.value.details == {"limit": "components", "max": 10_000, "actual": 10_001}


def test_a_path_is_called_by_the_name_that_its_server_knows() -> None:
    components, duplicates = read_components(b'{"components":["a","/b","/c","c"]}')
    kind = ServerKind(ServerDeclaration("flowspan"), components, duplicates)
    assert (kind.wire_name("/a"), kind.wire_name("/b")) == ("a", "/b")
    assert isinstance(kind.wire_name("/c"), FlowspanError)
    assert isinstance(kind.wire_name("/d"), FlowspanError)
    patterns, _ = read_components(b'{"components":["/core/{name}"]}')
    assert ServerKind(ServerDeclaration("stepflow"), patterns).wire_name("/core/x") == "/core/x"
    assert ServerKind(ServerDeclaration("stepflow"), None).wire_name("/anything") == "/anything"
