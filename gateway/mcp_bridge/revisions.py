"""Revisions of the Model Context Protocol that are spoken here, in both directions."""

from __future__ import annotations

from typing import Final

REVISIONS: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", "2024-10-07")
"""Those with a handshake, newest first. What is used of them is the same in all; later ones have more in their results."""
