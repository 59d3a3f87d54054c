"""What a gateway tells about itself: logs on stderr, spans, figures."""

from gateway.telemetry.logs import LEVELS, LOG_FORMATS, LineWriter, dropped_lines, flush_logs, setup_telemetry

__all__ = ["LEVELS", "LOG_FORMATS", "LineWriter", "dropped_lines", "flush_logs", "setup_telemetry"]
