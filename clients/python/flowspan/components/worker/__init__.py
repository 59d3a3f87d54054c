"""Component servers as gRPC workers: they connect to a gateway and take work from a queue. Loads gRPC."""
