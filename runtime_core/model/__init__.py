"""The values of the core: pure, synchronous, without a clock."""
