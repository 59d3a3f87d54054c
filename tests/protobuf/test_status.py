"""Errors survive the gRPC wire, and never outgrow it."""

from __future__ import annotations

from typing import Any

import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from flowspan.errors import (
    ERROR_TABLE,
    FlowInvalidError,
    FlowspanError,
    GrpcCode,
    InvalidArgumentError,
    LimitExceededError,
    NotFoundError,
    OverloadedError,
    Reason,
    UnavailableError,
)
from flowspan.protobuf.status import MAX_STATUS_BYTES, error_from_status, error_of_reason, status_from_error

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.text("abcdefghXYZ", min_size=1, max_size=12).filter(lambda name: name != "omitted")


def over_the_wire(error: FlowspanError) -> FlowspanError:
    status = status_from_error(error)
    return error_from_status(error.row.grpc.value, status.message, status.SerializeToString())


def known(error: FlowspanError) -> tuple[type, Reason, str, dict[str, Any]]:
    return type(error), error.reason, error.message, error.details


@given(st.sampled_from(Reason), TEXT, st.dictionaries(NAMES, JSON, max_size=4))
def test_an_error_survives_the_wire(reason: Reason, message: str, details: dict[str, Any]) -> None:
    error = error_of_reason(reason, message, details=details)
    back = over_the_wire(error)
    assert known(back) == known(error)
    assert back.from_peer


@given(TEXT, st.dictionaries(NAMES, JSON | st.text(min_size=200, max_size=3000) | st.lists(JSON, max_size=200), max_size=20))
def test_a_status_never_outgrows_the_headers_of_a_client(message: str, details: dict[str, Any]) -> None:
    status = status_from_error(error_of_reason(Reason.FLOW_INVALID, message * 200, details=details))
    assert status.ByteSize() <= MAX_STATUS_BYTES
    assert error_from_status("INVALID_ARGUMENT", status.message, status.SerializeToString()).reason is Reason.FLOW_INVALID


def test_texts_that_look_like_json_come_back_as_texts() -> None:
    details = {"a": "64", "b": 64, "c": "true", "d": True, "e": '"x"', "f": "plain", "g": "", "h": [1, "2"], "i": None}
    assert over_the_wire(FlowspanError("m", reason=Reason.NOT_FOUND, **details)).details == details


def test_figures_survive_beside_a_long_list_and_the_list_keeps_its_head() -> None:
    diagnostics = [{"kind": "duplicateStepId", "code": 3000, "message": f"step {number} again"} for number in range(500)]
    back = over_the_wire(FlowInvalidError("500 errors", diagnostics=diagnostics, total=500))
    assert isinstance(back, FlowInvalidError)
    assert back.details["total"] == 500
    kept = back.details["diagnostics"]
    assert 3 <= len(kept) < 500
    assert kept == diagnostics[: len(kept)]


def test_a_detail_that_cannot_be_cut_is_named_instead() -> None:
    back = over_the_wire(FlowspanError("m", reason=Reason.INTERNAL, big={"k": "x" * 10_000}, small=1))
    assert back.details == {"small": 1, "omitted": "big"}


def test_a_named_field_is_a_bad_request_and_a_wait_is_a_retry_info() -> None:
    status = status_from_error(OverloadedError("too much", field="inputs", retryAfterMs=1_250))
    kinds = {detail.type_url.rpartition(".")[2]: detail.value for detail in status.details}
    assert set(kinds) == {"ErrorInfo", "BadRequest", "RetryInfo"}
    (violation,) = error_details_pb2.BadRequest.FromString(kinds["BadRequest"]).field_violations
    assert (violation.field, violation.description) == ("inputs", "too much")
    delay = error_details_pb2.RetryInfo.FromString(kinds["RetryInfo"]).retry_delay
    assert (delay.seconds, delay.nanos) == (1, 250_000_000)
    info = error_details_pb2.ErrorInfo.FromString(kinds["ErrorInfo"])
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "OVERLOADED",
        "flowspan",
        {"field": "inputs", "retryAfterMs": "1250"},
    )


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_the_status_of_the_table(reason: Reason) -> None:
    status = status_from_error(FlowspanError("m", reason=reason))
    assert status.code == [
        *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
        *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
        *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
    ].index(ERROR_TABLE[reason].grpc.value)


@pytest.mark.parametrize("code", [*(code.value for code in GrpcCode), "UNKNOWN", "NO_SUCH_CODE"])
def test_a_status_without_details_of_ours_is_inferred(code: str) -> None:
    error = error_from_status(code, "connection refused")
    assert (error.from_peer, error.message, error.details) == (False, "connection refused", {"grpcCode": code})
    if code not in ("UNKNOWN", "NO_SUCH_CODE"):
        assert error.row.grpc.value == code


def test_classes_that_callers_catch_follow_the_reason() -> None:
    for reason, kind in (
        (Reason.RUN_NOT_FOUND, NotFoundError),
        (Reason.PARSE_ERROR, InvalidArgumentError),
        (Reason.QUOTA_EXCEEDED, LimitExceededError),
        (Reason.UNAVAILABLE, UnavailableError),
    ):
        assert type(over_the_wire(FlowspanError("m", reason=reason))) is kind


def test_a_reason_of_a_newer_gateway_keeps_its_name_and_its_kind() -> None:
    status = status_pb2.Status()
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="BRAND_NEW", domain="flowspan", metadata={"a": "1"}))
    error = error_from_status("NOT_FOUND", "m", status.SerializeToString())
    assert (error.reason, error.details, error.from_peer) == (Reason.NOT_FOUND, {"a": 1, "peerReason": "BRAND_NEW"}, True)


@pytest.mark.parametrize("trailer", [b"\xff\xff\xff", b"", b"\x0a"])
def test_a_trailer_that_is_no_status_is_as_good_as_none(trailer: bytes) -> None:
    error = error_from_status("NOT_FOUND", "m", trailer)
    assert (error.reason, error.from_peer) == (Reason.NOT_FOUND, False)


def test_details_of_another_domain_are_not_ours() -> None:
    status = status_pb2.Status()
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="RUN_NOT_FOUND", domain="example.com"))
    assert not error_from_status("NOT_FOUND", "m", status.SerializeToString()).from_peer


def test_a_text_that_is_no_unicode_still_goes_out() -> None:
    back = over_the_wire(FlowspanError("bad \ud800", reason=Reason.INVALID_VALUE, where="\udfff"))
    assert back.message == "bad ?"
