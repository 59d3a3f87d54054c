"""The flow language on the author's side: paths, and building flows in Python."""
