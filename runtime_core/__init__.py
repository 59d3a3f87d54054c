"""The core of Flowspan: runs as durable, numbered event logs. Knows no transport."""
