"""What people use today, doing the same job on the same machine in the same run: published packages only, each in a virtual
environment of its own below `bench/.venvs`, driven by scripts of ours in `programs/`."""
