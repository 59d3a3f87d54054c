"""The variables of runs: checked when a run is submitted, stored without what is secret, bound again at recovery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime_core.engine.settings import RunSettings
from runtime_core.flow.plan import FlowPlan
from runtime_core.flow.variables import NO_VARIABLES, RunVariables
from runtime_core.model.json_value import JsonObject, encode_json
from runtime_core.model.redaction import KNOWN_SECRETS
from runtime_core.ports import SecretBox

if TYPE_CHECKING:
    from runtime_core.engine.open_run import OpenRun

_NOTHING: Final[Mapping[str, Any]] = {}


class SessionSecretBox:
    """Implements `SecretBox` for a store that ends with the process: nothing secret is ever written."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}

    def seal(self, data: bytes) -> str:
        ticket = f"session-{len(self._held)}"
        self._held[ticket] = data
        return ticket

    def unseal(self, sealed: str) -> bytes:
        return self._held[sealed]


class VariableKeeper:
    """Knows where variables come from and how they are kept.

    Args:
        box: keeps secrets; what it gives back may be stored.
    """

    def __init__(self, box: SecretBox) -> None:
        self._box = box

    def accept(
        self, plan: FlowPlan, given: JsonObject, settings: RunSettings, above: RunVariables
    ) -> tuple[RunVariables, RunSettings]:
        """The variables of a new run, and its settings with what is kept of them.

        Args:
            given: with the submit.
            above: of the parent run (or of the run that is repeated); all of them pass on.

        Raises:
            InvalidArgumentError: they do not fit the flow's declaration.
            PreconditionError: there is a secret among them and no key to seal it with.
        """
        declared = plan.flow.schemas.declared
        inherited = above.values
        declared.check(given, inherited, inherits_secrets=bool(above.secret_names))
        variables = plan.bind(given, inherited, above.secret_names)
        self._remember(variables)
        if not given and not inherited:
            return variables, settings
        secret = variables.secret_names
        hidden = {
            "given": {name: value for name, value in given.items() if name in secret},
            "inherited": {name: value for name, value in inherited.items() if name in secret},
        }
        return variables, msgspec.structs.replace(
            settings,
            variables=_raw({name: value for name, value in given.items() if name not in secret}),
            inherited=_raw({name: value for name, value in inherited.items() if name not in secret}),
            inherited_secrets=tuple(sorted(above.secret_names)),
            secrets=self._box.seal(msgspec.json.encode(hidden)) if any(hidden.values()) else "",
        )

    def restore(self, plan: FlowPlan, settings: RunSettings) -> RunVariables:
        """The variables of a stored run.

        Raises:
            PreconditionError: its secrets cannot be unsealed: the key is gone or another one.
        """
        given, inherited = self._stored(settings)
        if not given and not inherited:
            return plan.bind(_NOTHING)
        variables = plan.bind(given, inherited, frozenset(settings.inherited_secrets))
        self._remember(variables)
        return variables

    def given(self, settings: RunSettings) -> bytes | None:
        """What was given with the submit of a stored run, secrets included, as JSON."""
        given, _ = self._stored(settings)
        return encode_json(given) if given or settings.variables is not None else None

    def inherited(self, settings: RunSettings) -> RunVariables:
        """What a stored run got from the run above it."""
        _, inherited = self._stored(settings)
        return RunVariables(inherited, frozenset(settings.inherited_secrets), ()) if inherited else NO_VARIABLES

    def _stored(self, settings: RunSettings) -> tuple[JsonObject, JsonObject]:
        given = _object(settings.variables)
        inherited = _object(settings.inherited)
        if settings.secrets:
            hidden = msgspec.json.decode(self._box.unseal(settings.secrets))
            given |= hidden["given"]
            inherited |= hidden["inherited"]
        return given, inherited

    @staticmethod
    def _remember(variables: RunVariables) -> None:
        if variables.secrets:
            KNOWN_SECRETS.add(variables.secrets)


def variables_of(run: OpenRun | None) -> RunVariables:
    """What a sub-run of this run inherits."""
    return NO_VARIABLES if run is None else run.variables


def _raw(values: JsonObject) -> msgspec.Raw | None:
    return msgspec.Raw(encode_json(values)) if values else None


def _object(raw: msgspec.Raw | None) -> JsonObject:
    return {} if raw is None else msgspec.json.decode(raw)
