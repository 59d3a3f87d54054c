"""The store of a single gateway: SQLite for rows, files for large blobs."""

from runtime_core.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
