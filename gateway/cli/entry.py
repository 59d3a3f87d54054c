"""The commands and their options. What they do is imported when one of them runs, so that `--help` is quick."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from gateway.cli.connection import ServerOptions
    from gateway.cli.run_commands import RunRequest

app = typer.Typer(
    name="flowspan",
    help="Durable runs of flows over many items, streamed as they complete. Results go to stdout, everything else to stderr.",
    epilog="Exit codes: 0 success, 1 the run failed, 2 usage, 65 the store is damaged, 69 unavailable, 74 the store failed, "
    "78 configuration, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
blob_app = typer.Typer(help="Store and fetch blobs.", no_args_is_help=True)
config_app = typer.Typer(help="Check configurations.", no_args_is_help=True)
app.add_typer(blob_app, name="blob")
app.add_typer(config_app, name="config")


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


# Options that several commands share.
Json = Annotated[bool, typer.Option("--json", help="Answers, progress and errors as JSON.")]
ConfigPath = Annotated[
    Path | None, typer.Option("--config", help="flowspan.yml; default: beside the flow and upwards, then the user's.")
]
FlowArgument = Annotated[str, typer.Argument(metavar="FLOW", help="A flow's file (JSON or YAML).")]
FlowOrId = Annotated[str, typer.Argument(metavar="FLOW", help="A flow's file (JSON or YAML), or the id of a stored flow.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
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
NoAuth = Annotated[bool, typer.Option("--no-auth", help="Ask for no token; loopback only.")]
State = Annotated[Path | None, typer.Option("--state", help="Keep runs in this directory.", metavar="DIR")]
LogLevelOption = Annotated[LogLevel | None, typer.Option("--log-level", help="The least that is logged.")]
LogFormatOption = Annotated[LogFormat | None, typer.Option("--log-format", help="auto: text on a terminal, else JSON.")]


@app.command()
def run(
    flow: FlowArgument,
    config: ConfigPath = None,
    state: Annotated[
        Path | None, typer.Option("--state", help="Keep the run here; the same command resumes it.", metavar="DIR")
    ] = None,
    input_file: InputFile = None,
    input_json: InputJson = None,
    inputs: InputsFile = None,
    output: Output = None,
    order: OrderOption = Order.BY_COMPLETION,
    max_concurrency: MaxConcurrency = None,
    variables: Variables = None,
    overrides: Overrides = None,
    env_variables: EnvVariables = False,
    label: Label = None,
    metadata: MetadataOption = None,
    deadline: Deadline = None,
    log_level: LogLevelOption = LogLevel.WARNING,
    quiet: Quiet = False,
    as_json: Json = False,
) -> NoReturn:
    """Run a flow here, in a gateway that lives as long as the command."""
    from gateway.cli import run_commands
    from gateway.telemetry import setup_telemetry

    setup_telemetry(level=(log_level or LogLevel.WARNING).value, log_format="json" if as_json else "auto")
    request = _request(
        flow, input_file, input_json, inputs, output, order, max_concurrency, variables, overrides, env_variables, label,
        metadata, deadline, None, quiet, as_json,
    )  # fmt: skip
    _end(run_commands.run(request, config=config, state=state))


@app.command()
def submit(
    flow: FlowOrId,
    input_file: InputFile = None,
    input_json: InputJson = None,
    inputs: InputsFile = None,
    output: Output = None,
    order: OrderOption = Order.BY_COMPLETION,
    max_concurrency: MaxConcurrency = None,
    variables: Variables = None,
    overrides: Overrides = None,
    env_variables: EnvVariables = False,
    label: Label = None,
    metadata: MetadataOption = None,
    deadline: Deadline = None,
    request_id: RequestId = None,
    detach: Annotated[bool, typer.Option("--detach", help="Print the run's status and do not wait for results.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
    target: Target = None,
    token: Token = None,
    tls: Tls = False,
    ca: Ca = None,
) -> NoReturn:
    """Run a flow in a gateway that runs already; the run outlives this command."""
    from gateway.cli import run_commands

    request = _request(
        flow, input_file, input_json, inputs, output, order, max_concurrency, variables, overrides, env_variables, label,
        metadata, deadline, request_id, quiet, as_json,
    )  # fmt: skip
    _end(run_commands.submit(request, _server(target, token, tls, ca), detach=detach))


@app.command()
def watch(
    run_id: RunArgument,
    after_seq: Annotated[int, typer.Option("--after-seq", min=0, help="The cursor: what comes behind this event.")] = 0,
    output: Output = None,
    order: OrderOption = Order.BY_COMPLETION,
    quiet: Quiet = False,
    as_json: Json = False,
    target: Target = None,
    token: Token = None,
    tls: Tls = False,
    ca: Ca = None,
) -> NoReturn:
    """Follow a run: each result once, as it becomes durable."""
    from gateway.cli import run_commands

    _end(
        run_commands.watch(
            run_id,
            _server(target, token, tls, ca),
            after_seq=after_seq,
            order=_result_order(order),
            output=output,
            quiet=quiet,
            as_json=as_json,
        )
    )


@app.command()
def get(
    run_id: RunArgument,
    results: Annotated[bool, typer.Option("--results", help="With the results that are there.")] = False,
    order: OrderOption = Order.BY_INDEX,
    as_json: Json = False,
    target: Target = None,
    token: Token = None,
    tls: Tls = False,
    ca: Ca = None,
) -> NoReturn:
    """Show the status of a run."""
    from gateway.cli import query_commands

    server = _server(target, token, tls, ca)
    _end(query_commands.get(run_id, server, results=results, order=_result_order(order), as_json=as_json))


@app.command("list")
def list_runs(
    status: Annotated[
        list[str] | None, typer.Option("--status", help="pending, running, success, failed or cancelled; may be repeated.")
    ] = None,
    flow_id: Annotated[str, typer.Option("--flow-id", help="Only runs of this flow.")] = "",
    label: Annotated[str, typer.Option("--label", help="Only runs with this label.")] = "",
    metadata: MetadataOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 50,
    as_json: Json = False,
    target: Target = None,
    token: Token = None,
    tls: Tls = False,
    ca: Ca = None,
) -> NoReturn:
    """List runs, newest first."""
    from gateway.cli import query_commands

    server = _server(target, token, tls, ca)
    filters: dict[str, Any] = {"statuses": status or (), "flow_id": flow_id, "label": label, "metadata": metadata or ()}
    _end(query_commands.list_runs(server, **filters, limit=limit, as_json=as_json))


@app.command()
def cancel(
    run_id: RunArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; shown in the run's status.")] = "",
    as_json: Json = False,
    target: Target = None,
    token: Token = None,
    tls: Tls = False,
    ca: Ca = None,
) -> NoReturn:
    """Cancel a run and its sub-runs; no item starts afterwards."""
    from gateway.cli import query_commands

    _end(query_commands.cancel(run_id, _server(target, token, tls, ca), reason=reason, as_json=as_json))


@app.command()
def retry(
    run_id: RunArgument,
    item: Annotated[
        list[int] | None, typer.Option("--item", min=0, help="An item's index; default: all that failed or were cancelled.")
    ] = None,
    max_concurrency: Annotated[
        int | None, typer.Option("--max-concurrency", min=1, help="Items that run at once; default: as in that run.")
    ] = None,
    as_json: Json = False,
    target: Target = None,
    token: Token = None,
    tls: Tls = False,
    ca: Ca = None,
) -> NoReturn:
    """Run the failed items of a finished run again, as a new run."""
    from gateway.cli import query_commands

    server = _server(target, token, tls, ca)
    _end(query_commands.retry(run_id, server, items=item or (), max_concurrency=max_concurrency, as_json=as_json))


@app.command()
def components(
    config: Annotated[Path | None, typer.Option("--config", help="Ask the plugins of this file, without a server.")] = None,
    as_json: Json = False,
    target: Target = None,
    token: Token = None,
    tls: Tls = False,
    ca: Ca = None,
) -> NoReturn:
    """List components and the plugins that offer them."""
    from gateway.cli import query_commands
    from gateway.cli.connection import embedded_client

    if config is not None:
        from gateway.config import load_config
        from gateway.telemetry import setup_telemetry

        setup_telemetry(level="warning")
        loaded = load_config(config)
        _end(query_commands.components(lambda: embedded_client(loaded, None), as_json=as_json))
    _end(query_commands.components(_server(target, token, tls, ca).connect, as_json=as_json))


@blob_app.command("put")
def put_blob(
    file: Annotated[str, typer.Argument(metavar="FILE", help="- for stdin.")],
    blob_type: Annotated[BlobType, typer.Option("--type", help="data and flow are JSON.")] = BlobType.DATA,
    as_json: Json = False,
    target: Target = None,
    token: Token = None,
    tls: Tls = False,
    ca: Ca = None,
) -> NoReturn:
    """Store a blob and print its id."""
    from gateway.cli import query_commands

    _end(query_commands.put_blob(file, _server(target, token, tls, ca), blob_type=blob_type.value, as_json=as_json))


@blob_app.command("get")
def get_blob(
    blob_id: Annotated[str, typer.Argument(metavar="BLOB")],
    output: Annotated[str, typer.Option("--output", "-o", help="- for stdout.", metavar="FILE")] = "-",
    target: Target = None,
    token: Token = None,
    tls: Tls = False,
    ca: Ca = None,
) -> NoReturn:
    """Write a blob's bytes, as they were first stored."""
    from gateway.cli import query_commands

    _end(query_commands.get_blob(blob_id, _server(target, token, tls, ca), output=output))


@app.command()
def serve(
    config: ConfigPath = None,
    listen: Listen = None,
    no_auth: NoAuth = False,
    state: State = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
) -> NoReturn:
    """Serve until SIGTERM; prints one line of JSON with its addresses when it is ready."""
    from gateway.cli import serve_commands

    _end(serve_commands.serve(_serve_options(config, listen, no_auth, state, log_level, log_format)))


@app.command()
def dev(
    config: ConfigPath = None,
    listen: Listen = None,
    no_auth: NoAuth = False,
    state: State = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
) -> NoReturn:
    """Serve, and start anew when the configuration or a plugin's files change. Runs are kept beside the configuration."""
    from gateway.cli import serve_commands

    _end(serve_commands.dev(_serve_options(config, listen, no_auth, state, log_level, log_format)))


@config_app.command("check")
def check_config(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Default: the one that holds here.")] = None,
    as_json: Json = False,
) -> NoReturn:
    """Check a configuration; exit code 78 if it is wrong."""
    from gateway.cli import config_commands

    _end(config_commands.check(file, as_json=as_json))


@config_app.command("schema")
def print_schema() -> NoReturn:
    """Print the JSON Schema of flowspan.yml."""
    from gateway.cli import config_commands

    _end(config_commands.schema())


@app.command()
def version(as_json: Json = False) -> NoReturn:
    """Print the versions of Flowspan and of what it stands on."""
    from gateway.cli import config_commands

    _end(config_commands.version(as_json=as_json))


def run_command() -> int:
    """The whole command; its exit code."""
    from flowspan.errors import FlowspanError

    try:
        app()
    except FlowspanError as error:
        from gateway.cli.exits import report

        return report(error, as_json="--json" in sys.argv)
    except KeyboardInterrupt:
        return 130
    return 0


def _end(code: int) -> NoReturn:
    raise typer.Exit(code)


def _server(target: str | None, token: str | None, tls: bool, ca: Path | None) -> ServerOptions:
    from gateway.cli.connection import ServerOptions

    return ServerOptions(target, token, tls or ca is not None, ca)


def _request(
    flow: str,
    input_file: str | None,
    input_json: str | None,
    inputs: str | None,
    output: Path | None,
    order: Order,
    max_concurrency: int | None,
    variables: str | None,
    overrides: str | None,
    env_variables: bool,
    label: str | None,
    metadata: list[str] | None,
    deadline: float | None,
    request_id: str | None,
    quiet: bool,
    as_json: bool,
) -> RunRequest:
    from gateway.cli.run_commands import RunRequest

    return RunRequest(
        flow, input_file, input_json, inputs, output, _result_order(order), max_concurrency, variables, overrides, env_variables,
        label, tuple(metadata or ()), deadline, request_id, quiet, as_json,
    )  # fmt: skip


def _serve_options(
    config: Path | None,
    listen: list[str] | None,
    no_auth: bool,
    state: Path | None,
    level: LogLevel | None,
    form: LogFormat | None,
) -> Any:
    from gateway.cli.serve_commands import ServeOptions

    return ServeOptions(config, tuple(listen or ()), no_auth, state, level and level.value, form and form.value)


def _result_order(order: Order) -> Any:
    from flowspan.view.status import ResultOrder

    return ResultOrder.BY_INDEX if order is Order.BY_INDEX else ResultOrder.BY_COMPLETION
