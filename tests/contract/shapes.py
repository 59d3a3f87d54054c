"""Answers compared with the page's examples: members, types and formats, and the written list of further members."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

EXTRA_RUN_STATUS_KEYS: Final = frozenset(
    {
        "asOfSeq",
        "rootRunId",
        "parentRunId",
        "sourceRunId",
        "metadata",
        "effectiveMaxConcurrency",
        "cancelReason",
        "resultsOmitted",
        "progress",
    }
)
"""What a RunStatus may carry beyond the contract."""
EXTRA_ITEM_KEYS: Final = frozenset({"itemLabel", "sourceItemIndex"})

RUN_STATUS_KEYS: Final = ("runId", "flowId", "status", "items", "createdAt")
OPTIONAL_RUN_STATUS_KEYS: Final = frozenset({"flowName", "flowLabel", "completedAt", "results"})
COUNTS: Final = ("total", "pending", "running", "success", "failed", "cancelled")
STATUSES: Final = frozenset({"pending", "running", "success", "failed", "cancelled"})
TERMINAL: Final = frozenset({"success", "failed", "cancelled"})

UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
BLOB_ID: Final = re.compile(r"sha256:[0-9a-f]{64}")
TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3,9}Z")


def time_of(text: str) -> datetime:
    """The moment; it must be RFC 3339 in UTC with at least milliseconds."""
    assert TIME.fullmatch(text), text
    return datetime.fromisoformat(text)


def check_status(status: dict[str, Any]) -> dict[str, Any]:
    """A RunStatus in the contract's shape; itself."""
    assert status.keys() - OPTIONAL_RUN_STATUS_KEYS - EXTRA_RUN_STATUS_KEYS == set(RUN_STATUS_KEYS), status.keys()
    assert UUID.fullmatch(status["runId"])
    assert BLOB_ID.fullmatch(status["flowId"])
    assert status["status"] in STATUSES
    assert tuple(status["items"]) == COUNTS
    assert all(type(count) is int and count >= 0 for count in status["items"].values())
    assert status["items"]["total"] == sum(status["items"][name] for name in COUNTS[1:])
    created_at = time_of(status["createdAt"])
    assert ("completedAt" in status) == (status["status"] in TERMINAL)
    if "completedAt" in status:
        assert time_of(status["completedAt"]) >= created_at
    for member in ("flowName", "flowLabel"):
        assert isinstance(status.get(member, ""), str)
    for item in status.get("results", ()):
        check_item(item)
        assert created_at <= time_of(item["completedAt"])
        assert 0 <= item["itemIndex"] < status["items"]["total"]
    assert no_nulls(status)
    return status


def check_item(item: dict[str, Any]) -> None:
    """One entry of `results`."""
    assert item.keys() - EXTRA_ITEM_KEYS == {"itemIndex", "result", "completedAt"}
    assert type(item["itemIndex"]) is int
    result = item["result"]
    if result["outcome"] == "success":
        assert result.keys() == {"outcome", "value"}
    elif result["outcome"] == "failed":
        assert result.keys() == {"outcome", "error"}
        assert result["error"].keys() - {"data"} == {"code", "message"}
        assert isinstance(result["error"]["code"], str)
        assert isinstance(result["error"]["message"], str)
    else:
        assert result["outcome"] == "skipped"


def no_nulls(status: dict[str, Any]) -> bool:
    """Whether no member of the status or of its results is null; values of users aside."""
    members = [*status.values(), *status["items"].values()]
    for item in status.get("results", ()):
        members += item.values()
    return None not in members


def same_members(example: Any, answer: Any, path: str = "$") -> None:
    """`answer` has the example's members, of the same JSON types; further ones only where a list above allows them."""
    assert type(answer) is type(example), path
    if isinstance(example, list):
        assert len(answer) == len(example), path
        for index, (one, other) in enumerate(zip(example, answer, strict=True)):
            same_members(one, other, f"{path}[{index}]")
    if isinstance(example, dict):
        extra = EXTRA_RUN_STATUS_KEYS if path == "$.result" else EXTRA_ITEM_KEYS if "itemIndex" in example else frozenset()
        assert answer.keys() - extra == example.keys(), path
        for name, one in example.items():
            same_members(one, answer[name], f"{path}.{name}")
