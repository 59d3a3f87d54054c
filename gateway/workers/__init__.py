"""Component servers that connect to the gateway: queues and the workers that serve them. Knows no wire; see
`gateway.grpc_server.worker_service` for that."""
