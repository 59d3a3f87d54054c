"""Spans through the OpenTelemetry SDK: one per run, one per component call, under the ids that components were told.

The ids are the engine's: a run's span id is kept with the run, a call's is what its component saw. So spans are made when
they have ended, as the SDK's finished spans, and handed to its batch processor, whose queue is bounded and whose thread
exports. Import this module only where traces are switched on: the SDK is an extra.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from flowspan.errors import PreconditionError
from flowspan.view.events import RunStatusCode
from flowspan.view.status import RunStatus
from gateway.telemetry.observer import TraceSink
from gateway.telemetry.second_budget import SecondBudget
from runtime_core.calls import CallFailure, CallNaming, CallResult
from runtime_core.model.redaction import KNOWN_SECRETS
from runtime_core.ports import RunTrace

FULL_ITEMS: Final = 100
"""Calls of the first items of a run have spans; of later ones only those that failed: no backend shows a trace of 100,000."""
CALL_SPANS_PER_S: Final = 2_000
RUN_SPANS_PER_S: Final = 2_000
"""Beyond this spans are dropped and counted: a plugin that fails everything does not make tracing the main work."""
CLOSE_S: Final = 2.0
"""At the end, for what is queued; a collector that hangs does not keep the gateway."""
MAX_TEXT_CHARS: Final = 1_024
"""Of an error's message in a span."""

_SCOPE: Final = InstrumentationScope("flowspan.gateway")
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_OK: Final = Status(StatusCode.OK)
_UNSET: Final = Status(StatusCode.UNSET)


class SpanRecorder:
    """Implements `gateway.telemetry.observer.TraceSink`.

    Args:
        exporter: gets the spans, in a thread of the SDK.
        naming: gives the ids of calls; the gateway's own.
        processor: the way to the exporter; default: batches of the SDK, in a bounded queue.

    The SDK's variables hold: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_BSP_*.
    """

    def __init__(self, exporter: SpanExporter, naming: CallNaming, *, processor: SpanProcessor | None = None) -> None:
        resource = Resource.create() if _names_service() else Resource.create({SERVICE_NAME: "flowspan"})
        # Only for what it reads from the environment: its tracers would give spans ids of their own.
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._resource: Final = provider.resource
        self._sampler: Final = provider.sampler
        self._processor: Final = processor or BatchSpanProcessor(exporter)
        self._naming: Final = naming
        self._call_budget = SecondBudget(CALL_SPANS_PER_S)
        self._run_budget = SecondBudget(RUN_SPANS_PER_S)
        self.recorded = 0

    @property
    def dropped(self) -> int:
        return self._call_budget.refused + self._run_budget.refused

    def samples(self, trace_id: str) -> bool:
        """What OTEL_TRACES_SAMPLER decides for a trace that begins here; default: all are recorded."""
        return self._sampler.should_sample(Context(), int(trace_id, 16), "run").decision is Decision.RECORD_AND_SAMPLE

    def on_calls(self, results: Sequence[CallResult]) -> None:
        now_s = time.monotonic()
        now_ns = time.time_ns()
        for call, result in results:
            if call.item_index >= FULL_ITEMS and type(result) is bytes:
                continue
            template = call.template
            if not template.sampled or not self._call_budget.take(now_s):
                continue
            took_s = now_s - call.sent_s
            attributes: dict[str, str | int | float] = {
                "flowspan.run_id": template.run_id,
                "flowspan.item_index": call.item_index,
                "flowspan.step_id": template.step_id,
                "flowspan.component": template.component,
                "flowspan.attempt": call.attempt,
            }
            if call.waited_s:
                attributes["flowspan.waited_s"] = round(call.waited_s, 6)
            status = _OK
            if isinstance(result, CallFailure):
                attributes["error.type"] = result.code.value
                status = Status(StatusCode.ERROR, KNOWN_SECRETS.text(result.message)[:MAX_TEXT_CHARS])
            self._record(
                f"call {template.component}",
                SpanKind.CLIENT,
                _context(template.trace_id, self._naming.span_id(call.number)),
                _context(template.trace_id, template.parent_span_id),
                attributes,
                status,
                now_ns - int(took_s * 1e9),
                now_ns,
            )

    def on_run_ended(self, status: RunStatus, trace: RunTrace) -> None:
        if not trace.sampled or not self._run_budget.take(time.monotonic()):
            return
        description, items = status.description, status.items
        attributes: dict[str, str | int | float] = {
            "flowspan.run_id": description.run_id,
            "flowspan.flow_id": description.flow_id,
            "flowspan.run_status": status.status.name.lower(),
            "flowspan.items": items.total,
            "flowspan.items_failed": items.failed,
            "flowspan.items_cancelled": items.cancelled,
            "flowspan.max_concurrency": description.max_concurrency,
        }
        for name, text in (
            ("flowspan.flow_name", description.flow_name),
            ("flowspan.parent_run_id", description.parent_run_id),
            ("flowspan.source_run_id", description.source_run_id),
        ):
            if text is not None:
                attributes[name] = text
        outcome = _UNSET
        if status.status is RunStatusCode.SUCCESS:
            outcome = _OK
        elif status.status is RunStatusCode.FAILED:
            outcome = Status(StatusCode.ERROR, f"{items.failed} of {items.total} items failed")
        start_ns = description.created_at_us * 1_000
        self._record(
            f"run {description.flow_name or description.flow_id}",
            SpanKind.INTERNAL,
            _context(trace.trace_id, trace.span_id),
            _context(trace.trace_id, trace.parent_span_id, is_remote=True) if trace.parent_span_id else None,
            attributes,
            outcome,
            start_ns,
            max(start_ns, (status.completed_at_us or 0) * 1_000),
        )

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not done.done():
                done.set_result(None)

        def shut_down() -> None:
            self._processor.shutdown()
            try:
                loop.call_soon_threadsafe(tell)
            except RuntimeError:
                pass  # the loop did not wait any longer, and is gone

        # A daemon: an export that hangs keeps neither the loop nor the process.
        threading.Thread(target=shut_down, name="trace-flush", daemon=True).start()
        await asyncio.wait((done,), timeout=CLOSE_S)

    def _record(
        self,
        name: str,
        kind: SpanKind,
        context: SpanContext,
        parent: SpanContext | None,
        attributes: dict[str, str | int | float],
        status: Status,
        start_ns: int,
        end_ns: int,
    ) -> None:
        self.recorded += 1
        self._processor.on_end(
            ReadableSpan(
                name,
                context,
                parent,
                self._resource,
                attributes,
                kind=kind,
                status=status,
                start_time=start_ns,
                end_time=end_ns,
                instrumentation_scope=_SCOPE,
            )
        )


def span_recorder(exporter: SpanExporter) -> Callable[[CallNaming], TraceSink]:
    """What `GatewayParts.traces` takes."""
    return lambda naming: SpanRecorder(exporter, naming)


def otlp_exporter() -> SpanExporter:
    """The exporter that OTEL_EXPORTER_OTLP_PROTOCOL names, default gRPC; the SDK's variables say where to and how.

    Raises:
        PreconditionError: it is not installed.
    """
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "grpc"
    package = "http" if protocol.startswith("http") else "grpc"
    try:
        if package == "http":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

            exporter: SpanExporter = HttpExporter()
            return exporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter()
    except ImportError as error:
        raise PreconditionError(
            f"telemetry.traces: the OTLP exporter for {protocol} is not installed: "
            f"pip install opentelemetry-exporter-otlp-proto-{package}"
        ) from error


def console_exporter() -> SpanExporter:
    """One line of JSON per span, on stderr: stdout is for results."""
    return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: span.to_json(indent=None) + "\n")


def _context(trace_id: str, span_id: str, *, is_remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote, _SAMPLED)


def _names_service() -> bool:
    return "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
