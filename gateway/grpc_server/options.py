"""Options of the gRPC server, each with its reason. Names are gRPC's."""

from __future__ import annotations

from typing import Final

from gateway.grpc_server.limits import MAX_RECEIVE_BYTES, MAX_SEND_BYTES

MAX_CONCURRENT_CALLS: Final = 4_000
"""Per listener: beyond, a call is refused at once with RESOURCE_EXHAUSTED instead of queueing up in memory."""

SERVER_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    # What one request may make this process hold.
    ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
    # A net below the services, which never make a larger answer: clients take 4 MiB by default.
    ("grpc.max_send_message_length", MAX_SEND_BYTES),
    # Rapid resets and runaway clients: bounds the streams one connection can open, well above what a busy SDK needs.
    ("grpc.max_concurrent_streams", 1_024),
    # Header bombs: all headers of a call together.
    ("grpc.max_metadata_size", 16_384),
    ("grpc.absolute_max_metadata_size", 16_384),
    # A connection that says nothing is closed after this, instead of after two minutes.
    ("grpc.server_handshake_timeout_ms", 5_000),
    # With it, a second server on the same port would silently share it.
    ("grpc.so_reuseport", 0),
    # A peer that vanished without a word is noticed within 30 s, and its handlers end.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Without it a lost ping is noticed a minute later.
    ("grpc.http2.ping_timeout_ms", 10_000),
    # A watch of a quiet run has no data for hours and must stay alive.
    ("grpc.keepalive_permit_without_calls", 1),
    # SDKs ping every 8 s; whoever pings oftener than every 5 s is told to go away.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 2),
    # Connections are renewed once an hour (gRPC spreads it by 10 %), with five minutes to end what runs: clients must be
    # able to resume anyway, so let it be exercised.
    ("grpc.max_connection_age_ms", 3_600_000),
    ("grpc.max_connection_age_grace_ms", 300_000),
)
