"""Component servers in processes of their own, over stdin and stdout: start, supervision, JSON-RPC, execution."""
