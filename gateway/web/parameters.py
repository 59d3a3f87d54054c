"""Parameters that this wire has and that of component servers has not. Checked here, and what the OpenAPI document is made of."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from flowspan.view.status import ResultOrder
from gateway.methods.wire import MAX_TEXT_CHARS, FromExecution

_Count = Annotated[int, msgspec.Meta(ge=0)]
_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARS)]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]
_PageSize = Annotated[int, msgspec.Meta(ge=0, description="0: the default; too many: as many as there may be")]
_PageToken = Annotated[str, msgspec.Meta(description="nextPageToken of the page before")]


class RunParams(msgspec.Struct, rename="camel", kw_only=True):
    """A run."""

    run_id: _Text


class ListRunsParams(msgspec.Struct, rename="camel", kw_only=True):
    """Runs, newest first. `metadata.KEY=value`: those that carry it."""

    status: Annotated[list[str], msgspec.Meta(description="pending, running, success, failed, cancelled")] = []
    flow_id: _Text | None = None
    flow_label: _Text | None = None
    metadata: dict[str, str] = {}
    created_after: _Time | None = None
    created_before: _Time | None = None
    parent_run_id: _Text | None = None
    root_run_id: _Text | None = None
    page_size: _PageSize = 0
    page_token: _PageToken = ""


class ListItemsParams(RunParams, kw_only=True):
    """Item results of a run."""

    result_order: ResultOrder = ResultOrder.BY_INDEX
    outcome: Annotated[list[str], msgspec.Meta(description="success, failed, skipped, cancelled")] = []
    after_item_index: _Count | None = None
    merged: Annotated[bool, msgspec.Meta(description="With the results of its retries in place of what they repeated")] = False
    page_size: _PageSize = 0
    page_token: _PageToken = ""


class EventsParams(RunParams, kw_only=True):
    """Events of a run behind a cursor; the header Last-Event-ID stands over it."""

    after_seq: _Count = 0


class RetryParams(FromExecution, kw_only=True):
    """A retry of a finished run."""

    run_id: _Text
    item_indexes: Annotated[list[_Count], msgspec.Meta(description="None: those that failed or were cancelled")] = msgspec.field(
        default_factory=list
    )
    max_concurrency: Annotated[int, msgspec.Meta(ge=1)] | None = None
    request_id: _Text | None = None


class StoreFlowParams(msgspec.Struct, rename="camel", kw_only=True):
    """How a flow is stored."""

    dry_run: Annotated[bool, msgspec.Meta(description="Only say what is wrong with it")] = False


class FlowParams(msgspec.Struct, rename="camel", kw_only=True):
    """A flow."""

    flow_id: _Text


class PageParams(msgspec.Struct, rename="camel", kw_only=True):
    """A page of a list."""

    page_size: _PageSize = 0
    page_token: _PageToken = ""


class BlobParams(msgspec.Struct, rename="camel", kw_only=True):
    """A blob."""

    blob_id: _Text


class ComponentParams(msgspec.Struct, rename="camel", kw_only=True):
    """A component, by its path in flows."""

    path: _Text


class NoParams(msgspec.Struct):
    """Nothing."""
