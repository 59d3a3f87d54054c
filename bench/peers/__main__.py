"""`python -m bench.peers` (`make bench-peers`) makes the environments that are missing."""

from __future__ import annotations

import sys

from bench.peers.catalog import ENVIRONMENTS
from bench.peers.environment import make_all

if __name__ == "__main__":
    sys.exit(1 if make_all(ENVIRONMENTS) else 0)
