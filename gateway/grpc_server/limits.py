"""What one call may bring or ask for. Sizes are bytes on the wire."""

from __future__ import annotations

from typing import Final

MIB: Final = 1 << 20

MAX_RECEIVE_BYTES: Final = 16 * MIB
"""One message from a caller. Larger things come in streams."""

MAX_SEND_BYTES: Final = 3_670_016
"""One message to a caller (3.5 MiB): clients take 4 MiB if nobody tells them otherwise."""

MAX_ITEM_INPUT_BYTES: Final = MIB
"""One item's input. Larger ones are put as blobs and named by id."""

MAX_UNARY_ITEMS: Final = 100_000
"""Items of a unary submit: the largest that one transaction takes without holding up other runs."""

MAX_UNARY_INPUT_BYTES: Final = 256 * MIB
"""All inputs of a unary submit together. Below `MAX_RECEIVE_BYTES` today; holds if that is raised."""

MAX_STREAMED_ITEMS: Final = 10_000_000
"""Items of a streamed submit."""

STAGE_CHUNK_BYTES: Final = 256 << 10
"""Inputs that are handed to the store together."""

STAGE_AHEAD_BYTES: Final = 4 * MIB
"""Inputs on their way to the disk while the next message is read: with those of that message all that a streamed submit holds."""

LARGE_INPUT_BYTES: Final = 64 << 10
"""On average; from here on another thread hashes them."""

STAGE_CHUNK_ITEMS: Final = 4_096
"""The same for tiny inputs."""

MAX_METADATA_ENTRIES: Final = 64
MAX_METADATA_KEY_BYTES: Final = 128
MAX_METADATA_VALUE_BYTES: Final = 1_024
"""Metadata rides in every status of a run and in its first event: it names a run, it does not carry its data."""

MAX_LABEL_BYTES: Final = 256
"""A label of a run or an item: a line on a screen."""

MAX_REQUEST_ID_BYTES: Final = 128
"""Room for a UUID and a prefix."""

MAX_TASK_TOKEN_BYTES: Final = 1_024

MAX_REASON_BYTES: Final = 1_024
"""Why a run is cancelled; shown in its status."""

MAX_PAGE_TOKEN_BYTES: Final = 4_096

MAX_DEADLINE_S: Final = 366 * 86_400
"""A run's deadline; beyond a year it is a mistake in units."""

MAX_FLOW_BYTES: Final = 8 * MIB
"""A flow document."""

MAX_DIAGNOSTICS: Final = 1_000
"""Findings listed in one answer; nobody reads more."""

MAX_SMALL_BLOB_BYTES: Final = 3_500_000
"""PutBlob and GetBlob; leaves room for the rest of the message below `MAX_SEND_BYTES`."""

MAX_BLOB_BYTES: Final = 256 * MIB
"""A streamed blob."""

MAX_BLOB_CHUNK_BYTES: Final = MIB

DEFAULT_PAGE_SIZE: Final = 50
DEFAULT_ITEM_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1_000
MAX_ITEM_PAGE_SIZE: Final = 10_000

MAX_WATCH_STREAMS: Final = 1_000
"""Open streams of events in this process."""

WRITE_BUDGET_BYTES: Final = 64 * MIB
"""Messages handed to gRPC and not yet taken by their readers, over all streams."""

WRITE_STALL_S: Final = 2.0
"""A write that takes longer has a slow reader: its bytes no longer keep other streams waiting."""

WRITE_TIMEOUT_S: Final = 600.0
"""A reader that takes nothing for so long is let go; it resumes from its cursor."""

READ_TIMEOUT_S: Final = 60.0
"""Between two messages of a caller's stream."""

CLEANUP_TIMEOUT_S: Final = 5.0
"""For what must still be done after a call broke."""
