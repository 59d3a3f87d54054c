"""The run engine: open runs, the dispatcher that moves them, and the run API on top."""
