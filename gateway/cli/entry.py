"""The commands and their options. What they do is imported when one of them runs, so that `--help` is quick."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from gateway.cli.entries.bridge import bridge
from gateway.cli.entries.conformance import conformance
from gateway.cli.entries.graph import graph
from gateway.cli.entries.infer import infer
from gateway.cli.entries.mcp import mcp
from gateway.cli.entries.new_component import new_app
from gateway.cli.entries.schema import schema_app
from gateway.cli.entries.test import run_tests
from gateway.cli.entries.validate import validate
from gateway.cli.options import (
    BlobType,
    Ca,
    ConfigPath,
    Deadline,
    EnvVariables,
    FlowArgument,
    FlowOrId,
    InputFile,
    InputJson,
    InputsFile,
    Json,
    Label,
    Listen,
    LogFormat,
    LogFormatOption,
    LogLevel,
    LogLevelOption,
    MaxConcurrency,
    MetadataOption,
    NoAuth,
    Order,
    OrderOption,
    Output,
    Overrides,
    Quiet,
    RequestId,
    RunArgument,
    State,
    Target,
    Tls,
    Token,
    Trace,
    Variables,
    Web,
    end,
    id_of_blob,
    id_of_run,
    result_order,
    server_options,
)

if TYPE_CHECKING:
    from gateway.cli.run_commands import RunRequest


class PlainWords(TyperGroup):
    """Says what is wrong with an option's value without the words of the library that checks it."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ").removeprefix("Input ").partition(", unable to parse")[0]
            raise


_IS_TERMINAL = sys.stdout.isatty() and sys.stderr.isatty()

app = typer.Typer(
    name="flowspan",
    cls=PlainWords,
    help="Durable runs of flows over many items, streamed as they complete. Results go to stdout, everything else to stderr.",
    epilog="Exit codes: 0 success, 1 the run failed, 2 usage, 65 the store is damaged, 69 unavailable, 74 the store failed, "
    "78 configuration, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Boxes and colours are for terminals, and take 0.1 s to load.
    rich_markup_mode="rich" if _IS_TERMINAL else None,
    context_settings={"help_option_names": ["-h", "--help"], **({} if _IS_TERMINAL else {"terminal_width": 132})},
)
blob_app = typer.Typer(help="Store and fetch blobs.", no_args_is_help=True)
config_app = typer.Typer(help="Check configurations.", no_args_is_help=True)
app.add_typer(blob_app, name="blob")
app.add_typer(config_app, name="config")
app.add_typer(schema_app, name="schema")
app.add_typer(new_app, name="new")
app.command()(validate)
app.command()(infer)
app.command()(graph)
app.command()(bridge)
app.command()(conformance)
app.command("test")(run_tests)
app.command()(mcp)


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
    trace: Trace = None,
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
    end(run_commands.run(request, config=config, state=state, trace=trace or ()))


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
    end(run_commands.submit(request, server_options(target, token, tls, ca), detach=detach))


@app.command()
def watch(
    run_id: RunArgument,
    after_seq: Annotated[
        int, typer.Option("--after-seq", min=0, help="The cursor: what comes behind this event. Not with --tree.")
    ] = 0,
    output: Output = None,
    order: OrderOption = Order.BY_COMPLETION,
    tree: Annotated[bool, typer.Option("--tree", help="Also its sub-runs, at any depth.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
    target: Target = None,
    token: Token = None,
    tls: Tls = False,
    ca: Ca = None,
) -> NoReturn:
    """Follow a run: each result once, as it becomes durable."""
    from gateway.cli import run_commands

    if tree:
        from gateway.cli.tree_command import watch_tree

        server = server_options(target, token, tls, ca)
        end(watch_tree(run_id, server, after_seq=after_seq, output=output, quiet=quiet, as_json=as_json))
    end(
        run_commands.watch(
            run_id,
            server_options(target, token, tls, ca),
            after_seq=after_seq,
            order=result_order(order),
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

    server = server_options(target, token, tls, ca)
    end(query_commands.get(run_id, server, results=results, order=result_order(order), as_json=as_json))


@app.command("list")
def list_runs(
    status: Annotated[
        list[str] | None, typer.Option("--status", help="pending, running, success, failed or cancelled; may be repeated.")
    ] = None,
    flow_id: Annotated[str, typer.Option("--flow-id", help="Only runs of this flow.", callback=id_of_blob("--flow-id"))] = "",
    label: Annotated[str, typer.Option("--label", help="Only runs with this label.")] = "",
    metadata: MetadataOption = None,
    parent: Annotated[
        str, typer.Option("--parent", help="Only sub-runs of this run.", metavar="RUN", callback=id_of_run("--parent"))
    ] = "",
    root: Annotated[
        str,
        typer.Option(
            "--root", help="Only the tree below this run, itself included.", metavar="RUN", callback=id_of_run("--root")
        ),
    ] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 50,
    as_json: Json = False,
    target: Target = None,
    token: Token = None,
    tls: Tls = False,
    ca: Ca = None,
) -> NoReturn:
    """List runs, newest first."""
    from gateway.cli import query_commands

    server = server_options(target, token, tls, ca)
    filters: dict[str, Any] = {"statuses": status or (), "flow_id": flow_id, "label": label, "metadata": metadata or ()}
    filters |= {"parent_run_id": parent, "root_run_id": root}
    end(query_commands.list_runs(server, **filters, limit=limit, as_json=as_json))


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

    end(query_commands.cancel(run_id, server_options(target, token, tls, ca), reason=reason, as_json=as_json))


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

    server = server_options(target, token, tls, ca)
    end(query_commands.retry(run_id, server, items=item or (), max_concurrency=max_concurrency, as_json=as_json))


@app.command()
def components(
    config: Annotated[Path | None, typer.Option("--config", help="Start the plugins of this file and ask them.")] = None,
    as_json: Json = False,
    target: Target = None,
    token: Token = None,
    tls: Tls = False,
    ca: Ca = None,
) -> NoReturn:
    """List components and the plugins that offer them: of the configuration that holds here, else of the gateway that runs."""
    from gateway.cli import query_commands

    end(query_commands.components(server_options(target, token, tls, ca), config, as_json=as_json))


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

    end(query_commands.put_blob(file, server_options(target, token, tls, ca), blob_type=blob_type.value, as_json=as_json))


@blob_app.command("get")
def get_blob(
    blob_id: Annotated[str, typer.Argument(metavar="BLOB", callback=id_of_blob("BLOB"))],
    output: Annotated[str, typer.Option("--output", "-o", help="- for stdout.", metavar="FILE")] = "-",
    target: Target = None,
    token: Token = None,
    tls: Tls = False,
    ca: Ca = None,
) -> NoReturn:
    """Write a blob's bytes, as they were first stored."""
    from gateway.cli import query_commands

    end(query_commands.get_blob(blob_id, server_options(target, token, tls, ca), output=output))


@app.command()
def serve(
    config: ConfigPath = None,
    listen: Listen = None,
    web: Web = None,
    no_auth: NoAuth = False,
    state: State = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
) -> NoReturn:
    """Serve until SIGTERM; prints one line of JSON with its addresses when it is ready."""
    from gateway.cli import serve_commands

    end(serve_commands.serve(_serve_options(config, listen, web, no_auth, state, log_level, log_format)))


@app.command()
def dev(
    config: ConfigPath = None,
    listen: Listen = None,
    web: Web = None,
    no_auth: NoAuth = False,
    state: State = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
) -> NoReturn:
    """Serve, and start anew when the configuration or a plugin's files change. Runs are kept beside the configuration."""
    from gateway.cli import serve_commands

    end(serve_commands.dev(_serve_options(config, listen, web, no_auth, state, log_level, log_format)))


@config_app.command("check")
def check_config(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Default: the one that holds here.")] = None,
    as_json: Json = False,
) -> NoReturn:
    """Check a configuration; exit code 78 if it is wrong."""
    from gateway.cli import config_commands

    end(config_commands.check(file, as_json=as_json))


@config_app.command("schema")
def print_schema() -> NoReturn:
    """Print the JSON Schema of flowspan.yml; the same as schema config."""
    from gateway.cli import schema_commands

    end(schema_commands.config())


@app.command()
def version(as_json: Json = False) -> NoReturn:
    """Print the versions of Flowspan and of what it stands on."""
    from gateway.cli import config_commands

    end(config_commands.version(as_json=as_json))


def run_command() -> int:
    """The whole command; its exit code."""
    from flowspan.errors import FlowspanError

    try:
        _with_only(sys.argv[1:2])()
    except FlowspanError as error:
        from gateway.cli.exits import report

        return report(error, as_json="--json" in sys.argv)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from gateway.cli.output import OutputClosedError

        if isinstance(error, OutputClosedError):
            return 1
        raise
    return 0


def _with_only(words: list[str]) -> typer.Typer:
    """The command line with this one of its commands, if it has it: to read the options of all of them takes 15 ms."""
    named = [known for known in app.registered_commands if words == [known.name or (known.callback and known.callback.__name__)]]
    if not named:
        return app
    lean = copy.copy(app)
    lean.registered_commands = named
    return lean


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
        flow, input_file, input_json, inputs, output, result_order(order), max_concurrency, variables, overrides, env_variables,
        label, tuple(metadata or ()), deadline, request_id, quiet, as_json,
    )  # fmt: skip


def _serve_options(
    config: Path | None,
    listen: list[str] | None,
    web: str | None,
    no_auth: bool,
    state: Path | None,
    level: LogLevel | None,
    form: LogFormat | None,
) -> Any:
    from gateway.cli.serve_commands import ServeOptions

    return ServeOptions(config, tuple(listen or ()), no_auth, state, level and level.value, form and form.value, web)
