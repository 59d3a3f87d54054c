"""What the methods need of the core's run API: the gateway's own core, or a remote gateway behind a bridge."""

from __future__ import annotations

from typing import Protocol

from flowspan.view.status import ResultOrder, RunStatus
from runtime_core.api import FlowDocument, RunWatch, SubmitRun
from runtime_core.ports import StoredBlob


class RunPort(Protocol):
    """Part of `runtime_core.api.RuntimeApi`; see there."""

    async def submit_run(self, command: SubmitRun) -> RunStatus: ...

    async def watch_run(
        self,
        run_id: str,
        *,
        namespace: str = "default",
        after_seq: int = 0,
        results_only: bool = False,
        omit_payloads: bool = False,
        task_token: str | None = None,
    ) -> RunWatch: ...

    async def get_run(
        self,
        run_id: str,
        *,
        namespace: str = "default",
        order: ResultOrder | None = None,
        after_item_index: int | None = None,
        limit: int | None = None,
        max_bytes: int,
    ) -> RunStatus: ...

    async def cancel_run(self, run_id: str, *, namespace: str = "default", reason: str = "") -> tuple[RunStatus, int]: ...

    async def get_flow(self, flow_id: str, *, namespace: str = "default") -> FlowDocument: ...

    async def put_blob(self, data: bytes, *, namespace: str = "default", blob_type: str = "data") -> str: ...

    async def get_blob(self, blob_id: str, *, namespace: str = "default") -> StoredBlob: ...
