"""RunService: submitting runs, following them, ending them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from flowspan.protobuf.convert import item_result_to_message, numbered, result_order_from_number, run_status_to_message
from flowspan.v1 import run_service_pb2 as pb
from flowspan.view.events import Outcome
from flowspan.view.status import RunStatus
from gateway.grpc_server.call import Call, read_task_token
from gateway.grpc_server.handlers import RequestReader, Write
from gateway.grpc_server.limits import (
    DEFAULT_ITEM_PAGE_SIZE,
    MAX_ITEM_PAGE_SIZE,
    MAX_REASON_BYTES,
    MAX_SEND_BYTES,
)
from gateway.grpc_server.requests import (
    check_text,
    read_max_concurrency,
    read_page_size,
    read_page_token,
    read_request_id,
    read_run_filter,
    read_submit,
)
from gateway.grpc_server.submissions import Submissions
from gateway.grpc_server.submit_stream import submit_stream
from gateway.grpc_server.watch_stream import WatchStreams
from runtime_core.api import RuntimeApi
from runtime_core.model.ids import parse_run_id

AnswerT = TypeVar("AnswerT", bound=Message)

_PAYLOAD_SHARE: Final = 3_300_000
"""Bytes of payload asked for in one answer: what is left of `MAX_SEND_BYTES` takes the framing of ordinary items."""

_SMALLEST_SHARE: Final = 1 << 10


class RunService:
    """The methods of `flowspan.v1.RunService`, over the core."""

    descriptor: Final[ServiceDescriptor] = pb.DESCRIPTOR.services_by_name["RunService"]

    def __init__(self, api: RuntimeApi, submissions: Submissions, streams: WatchStreams) -> None:
        self._api: Final = api
        self._submissions: Final = submissions
        self._streams: Final = streams

    # submitting

    async def SubmitRun(self, request: pb.SubmitRunRequest, call: Call) -> pb.SubmitRunResponse:
        run = await self._submissions.finish(self._api.submit_run(read_submit(request, call)))
        return pb.SubmitRunResponse(run=run_status_to_message(run))

    async def SubmitRunStream(self, requests: RequestReader[pb.SubmitRunStreamRequest], call: Call) -> pb.SubmitRunStreamResponse:
        run = await submit_stream(self._api, self._submissions, requests, call)
        return pb.SubmitRunStreamResponse(run=run_status_to_message(run))

    async def RetryRun(self, request: pb.RetryRunRequest, call: Call) -> pb.RetryRunResponse:
        has_bound = request.HasField("max_concurrency")
        retry = self._api.retry_run(
            parse_run_id(request.run_id),
            namespace=call.namespace,
            item_indexes=tuple(dict.fromkeys(request.item_indexes)),
            request_id=read_request_id(request.request_id),
            max_concurrency=read_max_concurrency(request.max_concurrency) if has_bound else None,
        )
        return pb.RetryRunResponse(run=run_status_to_message(await self._submissions.finish(retry)))

    # following

    async def WatchRun(self, request: pb.WatchRunRequest, call: Call, write: Write) -> None:
        tree_after_seq: dict[str, int] = {
            parse_run_id(run_id, field="treeAfterSeq"): seq for run_id, seq in request.tree_after_seq.items()
        }
        await self._watch(parse_run_id(request.run_id), request.options, request.after_seq, tree_after_seq, call, write)

    async def SubmitAndWatchRun(self, request: pb.SubmitAndWatchRunRequest, call: Call, write: Write) -> None:
        self._streams.check_room()
        run = await self._submissions.finish(self._api.submit_run(read_submit(request.run, call)))
        accepted = pb.SubmitAndWatchRunResponse(run=run_status_to_message(run)).SerializeToString()
        head = b""
        if request.after_seq or request.options.whole_tree:
            await self._streams.write(write, accepted, runId=run.run_id, afterSeq=request.after_seq)
        else:
            head = accepted  # the run's first events are durable as well: one message takes both
        await self._watch(run.run_id, request.options, request.after_seq, {}, call, write, head)

    async def _watch(
        self,
        run_id: str,
        options: pb.WatchOptions,
        after_seq: int,
        tree_after_seq: dict[str, int],
        call: Call,
        write: Write,
        head: bytes = b"",
    ) -> None:
        self._streams.check_room()
        # A sub-run's caller waits here only if it says so; the token in the call's metadata does not mean that.
        task_token = read_task_token(options.task_token)
        watch = await self._api.watch_run(
            run_id,
            namespace=call.namespace,
            after_seq=after_seq,
            results_only=options.results_only,
            omit_payloads=options.omit_payloads,
            whole_tree=options.whole_tree,
            tree_after_seq=tree_after_seq or None,
            task_token=task_token,
        )
        await self._streams.pump(
            watch, write, after_seq=after_seq, whole_tree=options.whole_tree, holds_slot=task_token is not None, head=head
        )

    async def GetRun(self, request: pb.GetRunRequest, call: Call) -> pb.GetRunResponse:
        run_id = parse_run_id(request.run_id)
        order = result_order_from_number(request.result_order)
        after_item_index = request.after_item_index if request.HasField("after_item_index") else None

        async def answer(max_bytes: int) -> pb.GetRunResponse:
            run: RunStatus = await self._api.get_run(
                run_id,
                namespace=call.namespace,
                order=order if request.include_results else None,
                after_item_index=after_item_index,
                limit=request.limit or None,
                max_bytes=max_bytes,
            )
            return pb.GetRunResponse(run=run_status_to_message(run))

        return await _fitting(answer)

    async def ListRuns(self, request: pb.ListRunsRequest, call: Call) -> pb.ListRunsResponse:
        run_filter = read_run_filter(request, call)
        page_size = read_page_size(request.page_size)
        page_token = read_page_token(request.page_token)

        async def answer(max_bytes: int) -> pb.ListRunsResponse:
            size = max(1, page_size * max_bytes // _PAYLOAD_SHARE)
            page = await self._api.list_runs(run_filter, page_size=size, page_token=page_token)
            return pb.ListRunsResponse(
                runs=[run_status_to_message(run) for run in page.runs], next_page_token=page.next_page_token or ""
            )

        return await _fitting(answer)

    async def ListRunItems(self, request: pb.ListRunItemsRequest, call: Call) -> pb.ListRunItemsResponse:
        run_id = parse_run_id(request.run_id)
        order = result_order_from_number(request.result_order)
        outcomes = frozenset(numbered(Outcome, number, "outcomes") for number in request.outcomes)
        page_size = read_page_size(request.page_size, default=DEFAULT_ITEM_PAGE_SIZE, maximum=MAX_ITEM_PAGE_SIZE)
        page_token = read_page_token(request.page_token)

        async def answer(max_bytes: int) -> pb.ListRunItemsResponse:
            page = await self._api.list_run_items(
                run_id,
                namespace=call.namespace,
                order=order,
                outcomes=outcomes,
                page_size=max(1, page_size * max_bytes // _PAYLOAD_SHARE),
                page_token=page_token,
                after_item_index=request.after_item_index if request.HasField("after_item_index") else None,
                merged=request.merged,
                max_bytes=max_bytes,
            )
            message = pb.ListRunItemsResponse(next_page_token=page.next_page_token or "")
            for item in page.items:
                item_result_to_message(item, into=message.items.add())
            return message

        return await _fitting(answer)

    # ending

    async def CancelRun(self, request: pb.CancelRunRequest, call: Call) -> pb.CancelRunResponse:
        check_text(request.reason, MAX_REASON_BYTES, "reason")
        cancel = self._api.cancel_run(parse_run_id(request.run_id), namespace=call.namespace, reason=request.reason)
        run, unconfirmed = await self._submissions.finish(cancel)
        return pb.CancelRunResponse(run=run_status_to_message(run), unconfirmed_executions=unconfirmed)

    async def DeleteRun(self, request: pb.DeleteRunRequest, call: Call) -> pb.DeleteRunResponse:
        await self._submissions.finish(self._api.delete_run(parse_run_id(request.run_id), namespace=call.namespace))
        return pb.DeleteRunResponse()


async def _fitting(answer: Callable[[int], Awaitable[AnswerT]]) -> AnswerT:
    """The first answer that fits one message, asking for half as much each time.

    What the core counts is payload; a message of ten thousand tiny results is mostly framing.
    """
    max_bytes = _PAYLOAD_SHARE
    message = await answer(max_bytes)
    while message.ByteSize() > MAX_SEND_BYTES and max_bytes > _SMALLEST_SHARE:
        max_bytes //= 2
        message = await answer(max_bytes)
    return message
