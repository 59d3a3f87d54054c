"""Handles: what stands in a flow for values that are known only while an item runs."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Final, NoReturn, Self

from flowspan.flows.limits import MAX_INDEX
from flowspan.flows.paths import WHOLE, Path, PathSyntaxError, format_path, parse_path
from flowspan.flows.values import Embeddable, Fragment, JsonObject, bounded, data_of, expression_of, joined, kind_of, refuse

_SHOWN_CHARS: Final = 60


class Expression(Embeddable):
    """A value that a flow computes. It can stand wherever a plain value can: in inputs, outputs, conditions and defaults.

    While the flow is built there is nothing to look at: a handle refuses to be a condition, a sequence, an operand of `==` or a
    part of a text with a TypeError that says what to write instead.
    """

    __slots__ = ("_part", "_shown")

    def __init__(self, part: Fragment, shown: str) -> None:
        self._part = part
        self._shown = shown

    def _fragment(self, *, is_data: bool) -> Fragment | str:
        if is_data:
            return f"{self._shown} is not resolved in this place: only plain values are allowed here"
        return self._part

    def __repr__(self) -> str:
        return f"<{self._shown}>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self  # never changed, and a copy of its flow would be another flow

    __hash__ = object.__hash__

    def __bool__(self) -> NoReturn:
        self._too_early("is neither true nor false", "use if_(condition, then, else_), or coalesce(...)")

    def __eq__(self, other: object) -> NoReturn:
        self._too_early("cannot be compared", "let a component compare, and branch on its answer with if_")

    def __ne__(self, other: object) -> NoReturn:
        self.__eq__(other)

    def __iter__(self) -> NoReturn:
        self._too_early("cannot be iterated over", "name an element, as in handle[0], or run a flow over all with /builtin/map")

    def __len__(self) -> NoReturn:
        self._too_early("has no length", "let a component count")

    def __contains__(self, member: object) -> NoReturn:
        self._too_early("cannot be searched", "let a component search")

    def __format__(self, spec: str) -> NoReturn:
        self._too_early("cannot be part of a text", "let a component put the text together")

    def __str__(self) -> NoReturn:  # to look at one there is repr
        self.__format__("")

    if not TYPE_CHECKING:  # type checkers are to report unknown attributes themselves

        def __getattr__(self, name: str) -> NoReturn:
            hint = "" if name.startswith("_") else f"; a field of its value is handle[{name!r}]"
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}", name=name, obj=self)

    def _too_early(self, problem: str, remedy: str) -> NoReturn:
        raise TypeError(f"{self._shown} {problem}: it has no value before the flow runs; {remedy}")


class PathHandle(Expression):
    """A handle from which paths lead on. `handle["a"][0]` and `handle.path("$.a[0]")` are the same place."""

    __slots__ = ("_owner", "_path")

    def __init__(self, owner: object, root: str, path: Path) -> None:
        """
        Args:
            owner: the flow that it belongs to.
            root: how messages call what the path begins at.
        """
        self._owner = owner
        self._path = path
        shown = f"{root} at {format_path(path)}" if path else root
        if len(shown) > _SHOWN_CHARS:
            shown = f"{shown[:_SHOWN_CHARS]}..."
        document = self._document(path)
        super().__init__(Fragment(document, 1, 1 + len(document), {owner: shown}), shown)

    def path(self, path: str) -> Self:
        """The place at a path below this one.

        Args:
            path: `"name"` is one field, whatever is in the name; text that begins with `$` is a path: `"$.a[0]"`,
                `"$['a.b']"`.

        Raises:
            InvalidArgumentError: not a path; the message names the character.
        """
        if not isinstance(path, str):
            refuse(f"a path is text, not {kind_of(path)}; an index goes in brackets: handle[0]", self._shown)
        try:
            return self._at(parse_path(path))
        except PathSyntaxError as error:
            refuse(str(error), self._shown)

    def __getitem__(self, key: str | int) -> Self:
        """The field of this name, whatever is in the name, or the element at this index (>= 0)."""
        if isinstance(key, bool) or not isinstance(key, (str, int)):
            refuse(f"[{key!r}]: a field is named by a str, an element by an int", self._shown)
        if isinstance(key, int) and not 0 <= key <= MAX_INDEX:
            refuse(f"[{key}]: an index counts from the start and is not negative, nor over {MAX_INDEX}", self._shown)
        return self._at((str.__str__(key) if isinstance(key, str) else int(key),))

    def _at(self, more: Path) -> Self:
        for name in more:
            data_of(name, self._shown)
        return self._with_path(self._path + more)

    @abstractmethod
    def _document(self, path: Path) -> JsonObject:
        """The reference to a place below the root."""

    @abstractmethod
    def _with_path(self, path: Path) -> Self:
        """The same root with another path."""


class InputHandle(PathHandle):
    """An item's input, or a place in it: `flow.input["user"]["name"]`."""

    __slots__ = ()

    def __init__(self, owner: object, path: Path = WHOLE) -> None:
        super().__init__(owner, "input", path)

    def _document(self, path: Path) -> JsonObject:
        return {"$input": format_path(path)}

    def _with_path(self, path: Path) -> Self:
        return type(self)(self._owner, path)


class StepHandle(PathHandle):
    """A step's output, or a place in it: `step.path("a")["b"]`."""

    __slots__ = ("_id",)

    def __init__(self, owner: object, step_id: str, path: Path = WHOLE) -> None:
        self._id = step_id
        super().__init__(owner, f"step {step_id!r}", path)

    @property
    def id(self) -> str:
        """The step's id."""
        return self._id

    def or_if_skipped(self, default: object) -> Expression:
        """This place, or `default` where the step is skipped; without it, what refers to a skipped step is skipped too.

        >>> flow.add("send", "/mail/send", {"text": translated["text"].or_if_skipped(flow.input["text"])})
        """
        fallback = expression_of(default, f"{self._shown}.or_if_skipped", above=2)
        on_skip = joined({"action": "useDefault"}, {"defaultValue": fallback})
        return Expression(
            joined(self._document(self._path), {"onSkip": on_skip}, self._part.owners), f"{self._shown}, or a default"
        )

    def _document(self, path: Path) -> JsonObject:
        return {"$step": self._id, "path": format_path(path)} if path else {"$step": self._id}

    def _with_path(self, path: Path) -> Self:
        return type(self)(self._owner, self._id, path)


class VariableHandle(PathHandle):
    """A variable of the run, or a place in it: `flow.variable("settings")["model"]`."""

    __slots__ = ("_name",)

    def __init__(self, owner: object, name: str, path: Path = WHOLE) -> None:
        self._name = name
        super().__init__(owner, f"variable {name!r}", path)

    @property
    def name(self) -> str:
        """The variable's name."""
        return self._name

    def or_default(self, default: object) -> Expression:
        """This place, or `default` where the variable was neither given with the run nor declared with a default."""
        fallback = expression_of(default, f"{self._shown}.or_default", above=1)
        return Expression(
            joined(self._document(self._path), {"default": fallback}, self._part.owners), f"{self._shown}, or a default"
        )

    def _document(self, path: Path) -> JsonObject:
        return {"$variable": format_path((self._name, *path))}

    def _with_path(self, path: Path) -> Self:
        return type(self)(self._owner, self._name, path)


def if_(condition: object, then: object, else_: object = None) -> Expression:
    """`then` if the condition is truthy, else `else_`. Falsy are only null, false, and what failed or was skipped; 0, "", [] and
    {} are truthy. Steps that only the other branch needs never run.

    >>> flow.output(if_(check["ok"], then=work["result"], else_={"refused": flow.input["id"]}))
    """
    parts = {
        "$if": expression_of(condition, "condition of if_", above=1),
        "then": expression_of(then, "then of if_", above=1),
    }
    if else_ is not None:
        parts["else"] = expression_of(else_, "else_ of if_", above=1)
    return Expression(joined({}, parts), "if_(...)")


def coalesce(*values: object) -> Expression:
    """The first of the values that is neither null nor skipped, else null. Steps behind it are not run for it.

    >>> flow.output(coalesce(cached["value"], computed["value"], "unknown"))
    """
    if not values:
        refuse("at least one value is needed", "coalesce")
    elements = [expression_of(value, f"value {index} of coalesce", above=2) for index, value in enumerate(values)]
    owners: dict[object, str] = {}
    for element in elements:
        owners.update(element.owners)
    document: JsonObject = {"$coalesce": [element.document for element in elements]}
    depth, nodes = 2 + max(element.depth for element in elements), 2 + sum(element.nodes for element in elements)
    return Expression(bounded(Fragment(document, depth, nodes, owners)), "coalesce(...)")


def literal(value: object) -> Expression:
    """A value as it stands, in which nothing is resolved: for data with keys such as `$step`, and for flows that are values.

    >>> flow.add("each", "/builtin/map", {"workflow": literal(other_flow), "items": flow.input["items"]})
    """
    return Expression(joined({}, {"$literal": data_of(value, "literal", above=1)}), "literal(...)")
