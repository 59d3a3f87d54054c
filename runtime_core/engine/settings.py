"""What the engine itself keeps about a run, beside its description; stored as JSON and read back at recovery."""

from __future__ import annotations

import msgspec

from flowspan.view.status import OptionalRaw


class RunSettings(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """How a run is to be executed.

    Attributes:
        depth: 1 for a run without parent.
        trace_id, span_id: 32 and 16 hex digits: the run's own span. `parent_span_id`: the caller's, or empty.
        sampled: the caller's sampling decision.
        overrides, variables: JSON objects as given, or None; of variables without those that are secret.
        inherited: variables from the parent run, without those that are secret. `inherited_secrets`: their names.
        secrets: `{"given": {...}, "inherited": {...}}` as JSON, sealed (`runtime_core.ports.SecretBox`), or empty.
        deadline_us: microseconds since 1970 at which the run is cancelled, or None.
        detached: goes on when its parent is cancelled.
        item_labels: one per input, or empty.
        source_items: for a retry: index in the source run of each item.
        parent_item: item of the parent run whose execution submitted this run, or None.
        staged_sha256: hex hash of streamed inputs, for a repeated streamed submit.
    """

    depth: int
    trace_id: str
    span_id: str
    parent_span_id: str = ""
    sampled: bool = True
    overrides: OptionalRaw = None
    variables: OptionalRaw = None
    deadline_us: int | None = None
    detached: bool = False
    item_labels: tuple[str, ...] = ()
    source_items: tuple[int, ...] = ()
    parent_item: int | None = None
    staged_sha256: str = ""
    inherited: OptionalRaw = None
    inherited_secrets: tuple[str, ...] = ()
    secrets: str = ""
