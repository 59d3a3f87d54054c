"""Runs as plain values: events, the fold from events to a status, the status itself. No wire, no IO."""
