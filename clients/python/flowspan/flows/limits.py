"""Bounds of flow documents, as the gateway checks them (docs/limits; tests compare the figures)."""

from __future__ import annotations

from typing import Final

MAX_STEPS: Final = 10_000
"""Steps of one flow."""
MAX_RETRIES: Final = 1_000
"""Retries that a step may ask for."""
MAX_DEPTH: Final = 64
"""Objects and arrays inside each other, the document itself included."""
MAX_NODES: Final = 1_000_000
"""Values in a document, each scalar, array and object counted."""
MAX_NUMBER_DIGITS: Final = 64
"""Digits of one integer."""
MAX_FLOW_BYTES: Final = 8 * 1024 * 1024
"""Size of a document as JSON."""
MAX_INDEX: Final = 10**20 - 1
"""Largest array index that a path can name."""
