"""The commands of the tools around a flow: thin, and quick to load."""
