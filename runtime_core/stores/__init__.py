"""Stores: implementations of `runtime_core.ports.Store`."""
