"""What the language's page and ruling 32 demand: row id to a sentence of ours, and which tests show it.

Every id is claimed by a test of this directory (`@row("...")`) or by one that `ELSEWHERE` names, and every claim names an id:
tests/language/test_manifest.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

_Test = TypeVar("_Test", bound=Callable[..., object])

ROWS: Final[dict[str, str]] = {
    # 1, the document
    "flow.stored-as-blob": "A flow is stored as a blob of type flow, and that blob's id is its id.",
    "flow.many-inputs": "A flow is run over many inputs, one item each.",
    "flow.json-or-yaml": "JSON and YAML mean the same.",
    "flow.silent": "Where nothing is said: no surprises, such as words that become booleans.",
    "flow.name": "name is flowName of the run; without name or description there are warnings.",
    "flow.schemas": "schemas.properties holds those of input, output, variables and steps; $defs are theirs.",
    "flow.schemas.short-forms": "inputSchema, outputSchema, variablesSchema and their snake_case twins mean the same.",
    "flow.steps": "No steps is legal.",
    "flow.output": "The output is null if absent.",
    "flow.test": "test is kept; section 9.",
    "flow.examples": "examples are kept.",
    "flow.metadata": "metadata is free.",
    "flow.null-is-absent": "null means absent.",
    "flow.unknown-keys": "An unknown key is warning 1005 with the nearest name; schema, $schema and x-... are free.",
    "flow.numbers": "Numbers keep their form from the document to the component and back.",
    "flow.numbers.examples": "3000 stays 3000; 2^53 + 1 and more stay exact.",
    "flow.input-schema": "Items are checked against the input schema, 2020-12.",
    "flow.input-schema.violation": "A violation is INVALID_INPUT with the pointer, runs nothing, and concerns that item alone.",
    "flow.id": "Key order and the kind of document do not change the id.",
    # 2, the step
    "step.id": "Unique and not empty, else fatal.",
    "step.component": "Required; a path that a route leads on.",
    "step.input": "An expression, null if absent.",
    "step.skip": "skip or skipIf.",
    "step.onError": "onError or on_error; fail if absent.",
    "step.mustExecute": "Runs although nothing needs it; off if absent.",
    "step.timeout": "Seconds or a length of time, for one attempt; then TIMEOUT.",
    "step.retry": "retry holds maxRetries and backoff.",
    "step.metadata": "Free.",
    # 3, expressions
    "expression.members": "Without a reserved key, objects and arrays are resolved member by member.",
    "expression.precedence": "Of several reserved keys the first in the list counts.",
    "expression.ignored-keys": "Other keys beside a reserved one: warning 1006.",
    "expression.old-form": "$from is fatal, with the new form in the message.",
    "expression.step": "The output of an earlier step; later, own and unknown ones are fatal.",
    "expression.step.onSkip": "onSkip skips or gives a default, an expression.",
    "expression.input": "The item's input; $ is the whole.",
    "expression.variable": "The first element is the variable's name.",
    "expression.literal": "Verbatim; how a flow stands in a flow.",
    "expression.if": "Falsy are null, false, failed and skipped; all else is truthy; no else: null.",
    "expression.coalesce": "The first that is neither null nor skipped; null if all are null; a failed one fails it.",
    "lazy.branches": "Only the taken branch and the elements that it takes are evaluated; what else needs never runs.",
    "lazy.late": "What becomes needed late is scheduled then.",
    "path.whole": "Empty or absent: the whole.",
    "path.literal-name": "Without $: one field name, dots included.",
    "path.forms": "With $: .name, [n], and quoted names with any character.",
    "path.nothing-else": "Nothing else is a path.",
    "path.stored-form": "A quoted name with a dot is still one field after a round trip.",
    "path.errors": "Errors name the character and the whole path.",
    "failure.step-path": "Path ... not found.",
    "failure.input-path": "Input path ... not found, also in a null input.",
    "failure.null-output": "Any path into a null output is null.",
    "failure.unknown-variable": "Undefined variable: ...",
    "failure.referenced-step": "A dependent fails with the same error and does not run.",
    "failure.member": "The first failed member fails the whole.",
    # 4, scheduling
    "scheduling.lazy": "Needed is what output and mustExecute steps reach.",
    "scheduling.side-by-side": "Steps run as soon as their data is there.",
    "scheduling.siblings": "A failure does not stop independent siblings.",
    "scheduling.item-fails": "An item fails when its output or a mustExecute step failed.",
    "scheduling.same-rule": "The same rule holds for sub-runs.",
    # 5, errors and retries
    "onError.fail": "The step is failed; the default.",
    "onError.useDefault": "The step succeeds with a literal, null if absent.",
    "onError.useDefault.after-transport": "After the transport retries.",
    "onError.useDefault.not-own-input": "Not for failures of resolving its own input.",
    "onError.retry": "maxRetries (3) more attempts on COMPONENT_FAILED and RESOURCE_UNAVAILABLE.",
    "onError.retry.default": "With defaultValue: that, once they are spent.",
    "onError.skip": "The step counts as skipped.",
    "budgets.two": "Component and transport retries are two budgets.",
    "budgets.transport": "TIMEOUT and UNREACHABLE are always retried, 3 times unless configured.",
    "attempt.rises": "One counter from 1 that only rises, and that the component sees.",
    "backoff.kinds": "Exponential with jitter from 50 ms by 2 to 10 s; constant and fibonacci, per step.",
    "backoff.hint": "retryAfter is honoured.",
    "error.codes": "Ten codes, by their bare names.",
    "error.builtin-input": "Bad input to a built-in is INVALID_INPUT, never retried.",
    # 6, skipping
    "skip.truthy": "A truthy condition skips the step.",
    "skip.spreads": "Who refers to a skipped step is skipped, through objects and arrays.",
    "skip.caught": "onSkip, $coalesce and $if catch it.",
    "skip.output": "In the output: outcome skipped, counted as success.",
    "skip.mustExecute": "mustExecute does not override skip.",
    # 7, variables, secrets, overrides
    "variables.declared": "Declared in the schema with default, is_secret, env_var; required is a list.",
    "variables.lookup": "Given, then declared default, then the reference's own, else the failure.",
    "variables.checked": "Given ones are checked at submit: INVALID_ARGUMENT.",
    "variables.required": "A required one without a value anywhere: the same.",
    "variables.pass-on": "They pass on to sub-runs.",
    "secrets.redacted": "Values of secrets are redacted at any depth, in arrays too.",
    "overrides.forms": "By step id, with or without $type and the wrapper.",
    "overrides.rfcs": "RFC 7396 and RFC 6902.",
    "overrides.any-field": "Any field but id.",
    "overrides.copy": "On a copy, for one run.",
    "overrides.recovery": "Kept with the run and applied again on recovery.",
    "overrides.refused": "An unknown step or a bad patch: INVALID_ARGUMENT.",
    "overrides.refused.no-run": "And no run.",
    # 8, built-ins
    "builtin.eval": "flow or flow_id with input; result and the sub-run's own id.",
    "builtin.map": "workflow over items; results, successful, failed.",
    "builtin.iterate": "flow from initial_input until it answers result.",
    "builtin.put_blob": "data and blob_type; blob_id.",
    "builtin.get_blob": "blob_id; data.",
    "builtin.load_file": "path and format; data and metadata; only below configured directories.",
    "builtin.create_messages": "System and user text; messages.",
    "builtin.openai": "messages and settings; response, from any endpoint that speaks the protocol.",
    "builtin.noop-sleep": "The input; passthrough after a while.",
    "plugin.mock": "Answers by input, for tests.",
    "flowresult.forms": "success with value, failed with error, skipped with reason.",
    "flowresult.old-spelling": "result is read for value.",
    # 9, tests in a flow
    "tests.shape": "config or configFile, and cases with input and output.",
    "tests.partial": "Objects by containment, arrays by length, numbers by value, code and message exactly.",
    "tests.one-run": "All cases of a file are items of one run.",
    "tests.update-diff": "The command rewrites expectations and shows a diff.",
    # 10, diagnostics
    "diagnostics.shape": "kind, code, level, message, path, line, column.",
    "diagnostics.blocking": "Only fatal ones block storing; dry_run only validates.",
    "diagnostics.embedded": "Flows inside of a flow are validated too.",
    **{
        f"diagnostic.{code}": kind
        for code, kind in {
            1000: "unreachableStep", 1001: "missingFlowName", 1002: "missingFlowDescription", 1003: "unvalidatedFieldAccess",
            1004: "missingVariableSchema", 1005: "unknownField", 1006: "ignoredKey", 1100: "untypedComponentOutput",
            1500: "mockComponent", 2000: "invalidFieldAccess", 2001: "emptyComponentName", 2002: "schemaViolation",
            2003: "invalidSubflowLiteral", 2004: "undefinedVariable", 2005: "undefinedRequiredVariable", 2100: "typeMismatch",
            2101: "unknownPropertyInPath", 2200: "invalidRouteReference", 2500: "invalidComponent", 3000: "duplicateStepId",
            3001: "emptyStepId", 3002: "selfReference", 3003: "undefinedStepReference", 3004: "invalidReferenceExpression",
        }.items()
    },
    # ruling 32
    "tie.first-member": "Of several failures in a value, the first member in document order.",
    "tie.failed-over-skipped": "Of skipped and failed members, failed.",
    "tie.output-first": "The output before mustExecute steps, these in order.",
    "tie.item-ends": "An item ends when its output and its mustExecute steps are done; what nothing needs is cancelled.",
    "tie.skip-fails": "A skip that fails makes the step fail.",
    "tie.coalesce-skipped": "$coalesce of only skipped members is skipped.",
    "tie.null-in-the-middle": "null in the middle of a path: not found.",
    "tie.null-input": "The whole of a null input is null.",
    "tie.iterate-limit": "iterate at its limit: terminated false, result the last next.",
    "tie.mock-without-behavior": "A mock that knows no answer: COMPONENT_FAILED naming the input.",
    "tie.messages": "Messages are exact, with canonical paths; more stands in error.data.",
}  # fmt: skip

ELSEWHERE: Final[dict[str, tuple[str, ...]]] = {
    "builtin.openai": (
        "built_ins/test_openai.py::test_it_answers_with_the_text_of_the_first_choice",
        "built_ins/test_openai.py::test_options_reach_the_endpoint_as_they_were_written",
        "built_ins/test_openai.py::test_a_key_of_the_input_is_used_instead_of_the_configured_one",
    ),
    "tests.shape": (
        "cli/test_flow_tests.py::test_an_inline_configuration_is_used_and_its_mistakes_are_told_in_the_flow",
        "cli/test_flow_tests.py::test_a_configuration_comes_from_the_test_or_its_file_or_the_place_and_paths_hold_from_there",
    ),
    "tie.item-ends": (
        "engine/test_early_ends.py::test_an_item_ends_at_once_although_a_sibling_hangs_which_is_cancelled_at_its_server",
    ),
    "backoff.kinds": (
        "flow/test_retry.py::test_delays_grow_as_the_flow_asks",
        "flow/test_retry.py::test_jitter_keeps_a_delay_between_half_and_whole",
    ),
}
"""Tests outside of this directory, by the row that they show."""


def row(*ids: str) -> Callable[[_Test], _Test]:
    """Marks a test as one that would fail if one of these rows did not hold."""
    unknown = [one for one in ids if one not in ROWS]
    if unknown or not ids:
        raise KeyError(f"no such row: {', '.join(unknown) or '(none given)'}")
    return lambda test: test
