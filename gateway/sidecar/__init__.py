"""A component server beside a remote gateway: the bridge of the gateway itself, as a worker of one of its queues."""
