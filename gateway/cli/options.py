"""Options that several commands share, and the words they are made of. Nothing here is imported that takes time."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from gateway.cli.connection import ServerOptions


class Order(StrEnum):
    """Words of the command line for the order of results."""

    BY_COMPLETION = "by-completion"
    BY_INDEX = "by-index"


class BlobType(StrEnum):
    DATA = "data"
    FLOW = "flow"
    BINARY = "binary"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


def id_of_run(name: str) -> Callable[[str | None], str | None]:
    """For an option or argument of this name: its value as the gateway writes it. An option that is not given is let pass."""

    def check(value: str | None) -> str | None:
        if not value and name.startswith("--"):
            return value
        from flowspan.errors import FlowspanError
        from gateway.cli.exits import UsageError
        from runtime_core.model.ids import parse_run_id

        try:
            return parse_run_id(value or "")
        except FlowspanError:
            problem = f"{name}: {value!r} is not the id of a run, which is a UUID; `flowspan list` shows them"
            raise UsageError(problem) from None

    return check


def id_of_blob(name: str) -> Callable[[str | None], str | None]:
    """The same for ids of blobs, flows among them."""

    def check(value: str | None) -> str | None:
        if not value and name.startswith("--"):
            return value
        from flowspan.errors import FlowspanError
        from gateway.cli.exits import UsageError
        from runtime_core.model.ids import parse_blob_id

        try:
            return parse_blob_id(value or "")
        except FlowspanError:
            problem = f"{name}: {value!r} is not the id of a blob or a flow, which is sha256: and 64 lower-case hex digits"
            raise UsageError(problem) from None

    return check


Json = Annotated[bool, typer.Option("--json", help="Answers, progress and errors as JSON.")]
ConfigPath = Annotated[
    Path | None, typer.Option("--config", help="flowspan.yml; default: beside the flow and upwards, then the user's.")
]
FlowArgument = Annotated[str, typer.Argument(metavar="FLOW", help="A flow's file (JSON or YAML).")]
FlowOrId = Annotated[str, typer.Argument(metavar="FLOW", help="A flow's file (JSON or YAML), or the id of a stored flow.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.", callback=id_of_run("RUN"))]
InputFile = Annotated[
    str | None, typer.Option("--input", help="One input: a file with JSON (or YAML), - for stdin.", metavar="FILE")
]
InputJson = Annotated[str | None, typer.Option("--input-json", help="One input: JSON.", metavar="TEXT")]
InputsFile = Annotated[
    str | None, typer.Option("--inputs", help="Many inputs: one JSON value per line, - for stdin.", metavar="FILE.jsonl")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write results to this file instead of stdout.", metavar="FILE")
]
OrderOption = Annotated[Order, typer.Option("--order", help="The order of results.")]
MaxConcurrency = Annotated[int | None, typer.Option("--max-concurrency", min=1, help="Items that run at once; default 10.")]
Variables = Annotated[str | None, typer.Option("--variables", help="A JSON object, or a file with one.", metavar="JSON|FILE")]
Overrides = Annotated[str | None, typer.Option("--overrides", help="A JSON object, or a file with one.", metavar="JSON|FILE")]
EnvVariables = Annotated[
    bool, typer.Option("--env-variables", help="Take variables from the environment where the flow names one (env_var).")
]
Label = Annotated[str | None, typer.Option("--label", help="Comes back as flowLabel.")]
MetadataOption = Annotated[
    list[str] | None, typer.Option("--metadata", help="NAME=VALUE; may be repeated.", metavar="NAME=VALUE")
]
Deadline = Annotated[
    float | None, typer.Option("--deadline", min=0.001, help="Seconds until the run is cancelled.", metavar="SECONDS")
]
RequestId = Annotated[str | None, typer.Option("--request-id", help="The same id and the same request: the same run.")]
Trace = Annotated[
    list[str] | None,
    typer.Option(
        "--trace",
        help="Tell afterwards how this item went, step by step: its index, from 0, or failed for the first that fails; "
        "may be repeated.",
        metavar="ITEM",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")]
Target = Annotated[
    str | None, typer.Option("--target", help="HOST:PORT or unix:/path; default: FLOWSPAN_TARGET, else the one that runs here.")
]
Token = Annotated[
    str | None, typer.Option("--token", help="Default: FLOWSPAN_TOKEN, else that of your own server at the target.")
]
Tls = Annotated[bool, typer.Option("--tls", help="Speak TLS.")]
Ca = Annotated[Path | None, typer.Option("--ca", help="Trusted certificates (PEM); implies --tls.", metavar="FILE")]
Listen = Annotated[
    list[str] | None, typer.Option("--listen", help="HOST:PORT (port 0: any free one) or unix:/path; may be repeated.")
]
Web = Annotated[
    str | None, typer.Option("--web", help="HOST:PORT of the run API over HTTP, for browsers and curl.", metavar="HOST:PORT")
]
NoAuth = Annotated[bool, typer.Option("--no-auth", help="Ask for no token; loopback only.")]
State = Annotated[Path | None, typer.Option("--state", help="Keep runs in this directory.", metavar="DIR")]
LogLevelOption = Annotated[LogLevel | None, typer.Option("--log-level", help="The least that is logged.")]
LogFormatOption = Annotated[LogFormat | None, typer.Option("--log-format", help="auto: text on a terminal, else JSON.")]


def end(code: int) -> NoReturn:
    raise typer.Exit(code)


def server_options(target: str | None, token: str | None, tls: bool, ca: Path | None) -> ServerOptions:
    from gateway.cli.connection import ServerOptions

    return ServerOptions(target, token, tls or ca is not None, ca)


def result_order(order: Order) -> Any:
    from flowspan.view.status import ResultOrder

    return ResultOrder.BY_INDEX if order is Order.BY_INDEX else ResultOrder.BY_COMPLETION
