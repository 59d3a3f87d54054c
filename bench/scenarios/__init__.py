"""What is measured: each module has SCENARIOS."""

from typing import Final

MODULES: Final = (
    "sketch", "durable_run", "ten_steps", "idle_run", "submit", "sub_runs", "small_runs", "large_payloads", "watchers", "resume",
    "startup", "memory", "cost", "peers",
)  # fmt: skip
"""In the order of the table: the sketch first, so that ratios to it can be told; then what matters most; the peers last."""
