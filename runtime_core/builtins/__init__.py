"""Components that live in the gateway itself, under `/builtin`."""
