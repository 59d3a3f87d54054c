"""How many times the random tests are repeated."""

from __future__ import annotations

import os


def amount(variable: str, usual: int, deep: int) -> int:
    """The environment's word if it has one; else `deep` with FLOWSPAN_DEEP (`make deep-tests`), `usual` without."""
    said = os.environ.get(variable)
    return int(said) if said else deep if os.environ.get("FLOWSPAN_DEEP") else usual
