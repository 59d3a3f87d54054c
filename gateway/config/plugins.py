"""Plugins of a configuration: who offers components."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from flowspan.discovery import TARGET_VARIABLE, TOKEN_VARIABLE
from gateway.secret_box import KEY_VARIABLE

MIB: Final = 1 << 20

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Section(BaseModel):
    """A mapping of the file: unknown keys are mistakes, and nothing changes after reading."""

    # Only the whole configuration is ever validated, so validators of the sections are made as its parts, not beforehand.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=False, defer_build=True)

    @classmethod
    def of_defaults(cls) -> Self:
        """What holds where the file has no such section; without a validator of its own."""
        return cls.model_construct()


class PluginLimits(Section):
    """Bounds on one component server's process and messages; what is absent is the bridge's own default."""

    max_line_bytes: int | None = Field(default=None, ge=4_096, le=64 * MIB, description="Longest line that it is sent.")
    max_output_bytes: int = Field(default=2 * MIB, ge=1, le=16 * MIB, description="Of one result.")
    max_open_files: int = Field(default=1_024, ge=16, le=1 << 20, description="RLIMIT_NOFILE.")
    max_address_space_bytes: int | None = Field(default=None, ge=16 * MIB, description="RLIMIT_AS; none by default.")
    max_processes: int | None = Field(default=None, ge=1, description="RLIMIT_NPROC.")
    nice: int = Field(default=5, ge=0, le=19, description="Added to the niceness.")


class PluginTimeouts(Section):
    """How long a component server may take, in seconds."""

    initialize_s: Seconds = Field(default=10.0, description="To answer `initialize`.")
    list_s: Seconds = Field(default=5.0, description="To answer `components/list`.")
    stall_s: Seconds = Field(default=30.0, description="A pipe that takes nothing, or a line that stays unfinished.")
    replace_grace_s: Seconds = Field(default=30.0, description="For the other calls of a process in which one timed out.")
    stop_grace_s: Seconds = Field(default=2.0, description="Per rung of the ladder that ends it.")


class PluginSection(Section):
    """What all plugins have."""

    allow: tuple[str, ...] = Field(
        default=(), description="Patterns of its components' paths (`/users/*`): these may be called, no others; none: all."
    )
    deny: tuple[str, ...] = Field(default=(), description="Patterns of its components' paths that may not be called.")


class ProcessPlugin(PluginSection):
    """A program that the gateway starts and talks to over its stdin and stdout."""

    command: str = Field(min_length=1, description="A program: a name on PATH, or a path relative to `cwd`.")
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(
        default_factory=dict, description="Beside PATH, HOME, LANG, LC_*, TZ and TMPDIR; nothing else is inherited."
    )
    cwd: Path | None = Field(default=None, description="Relative to the configuration file; default: its directory.")
    replicas: int = Field(default=1, ge=1, le=256, description="Processes.")
    capacity: int | None = Field(
        None, ge=1, le=4_096, description="Executions at once per process; default: what it declares, else 256."
    )
    isolation: Literal["namespace", "group"] = Field(default="namespace", description="How its processes are held together.")
    limits: PluginLimits = PluginLimits.of_defaults()
    timeouts: PluginTimeouts = PluginTimeouts.of_defaults()

    @field_validator("env")
    @classmethod
    def _check_env(cls, env: dict[str, str]) -> dict[str, str]:
        for name in (TARGET_VARIABLE, TOKEN_VARIABLE, KEY_VARIABLE):
            if name in env:
                raise ValueError(f"{name} gives access to the gateway and must not be given to a component server; remove it")
        return env


class StdioPlugin(ProcessPlugin):
    """A component server that the gateway starts and talks to over its stdin and stdout."""

    type: Literal["stdio"]
    dialect: Literal["flowspan", "stepflow"] | None = Field(default=None, description="Default: told from the handshake.")


class McpPlugin(ProcessPlugin):
    """An MCP server that the gateway starts and talks to over its stdin and stdout: its tools are components."""

    type: Literal["mcp"]
    capacity: int | None = Field(None, ge=1, le=4_096, description="Tool calls at once per process; default: 16.")
    roots: tuple[Path, ...] = Field(
        default=(), description="Directories that it is told to work in, relative to the configuration file."
    )
    parse_text: bool = Field(
        default=True, description="Whether a result that is one text becomes the object or array that the text spells."
    )


class HttpPlugin(ProcessPlugin):
    """A component server that speaks JSON-RPC over HTTP: one that runs at `url`, or one that `command` starts."""

    type: Literal["http"]
    url: str | None = Field(default=None, pattern="^https?://[^/]", description="Where it listens, if somebody else runs it.")
    command: str = Field(
        default="", description='A program that starts it; it listens on loopback and says `{"port": N}` on its stdout.'
    )
    headers: dict[str, str] = Field(default_factory=dict, description="Sent with every request.")
    dialect: Literal["flowspan", "stepflow"] | None = Field(default=None, description="Default: told from the handshake.")

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if (self.url is None) == (not self.command):
            raise ValueError("give either url, of a server that runs, or command, to start one")
        return self


class BuiltinPlugin(PluginSection):
    """The components that come with the gateway."""

    type: Literal["builtin"]


JsonSchema = dict[str, Any] | bool


class MockComponent(Section):
    """A component that answers by rote."""

    input_schema: JsonSchema | None = None
    output_schema: JsonSchema | None = None
    behaviors: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="The input, as JSON text or as a YAML mapping -> FlowResult."
    )


class MockPlugin(PluginSection):
    """Components for tests of flows. `components`: by path below the plugin's route."""

    type: Literal["mock"]
    components: dict[str, MockComponent] = Field(default_factory=dict)


class WorkerPlugin(PluginSection):
    """Component servers that connect to the gateway and take work from a queue, any number of them."""

    type: Literal["worker"]
    queue: str | None = Field(
        default=None, min_length=1, max_length=64, description="What its workers name; default: the plugin's own name."
    )
    max_output_bytes: int = Field(default=2 * MIB, ge=1, le=16 * MIB, description="Of one result.")


Plugin = Annotated[StdioPlugin | HttpPlugin | McpPlugin | WorkerPlugin | BuiltinPlugin | MockPlugin, Field(discriminator="type")]
