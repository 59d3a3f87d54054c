"""The name that was probably meant: for `did you mean 'x'?`."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Final

_LEAST: Final = 0.65
"""Of difflib's ratio. 'kye' for 'key' is just above it, 'env' for 'env_var' below."""


def near_name(name: str, known: Iterable[str]) -> str | None:
    """The nearest of these names, the first of equals; None where none is near. Case does not count, and of paths only what
    follows the part that they share: `/shop/nope` is not near `/shop/price`."""
    best, nearest = _LEAST, None
    matcher = SequenceMatcher(autojunk=False)
    given = name.casefold()
    for one in known:
        here, there = _unshared(given, one.casefold())
        if here == there:
            return one
        matcher.set_seq2(here)  # the second one is what the matcher prepares, and it is mostly the same
        matcher.set_seq1(there)
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and (ratio := matcher.ratio()) > best:
            best, nearest = ratio, one
    return nearest


def _unshared(one: str, other: str) -> tuple[str, str]:
    """Both without the folders with which both begin."""
    folders = one.rfind("/") + 1
    while folders and one[:folders] != other[:folders]:
        folders = one.rfind("/", 0, folders - 1) + 1
    return one[folders:], other[folders:]
