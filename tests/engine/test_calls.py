"""Names of executions."""

from __future__ import annotations

import base64
import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from flowspan.idempotency import idempotency_token


@given(st.text(min_size=1, max_size=40), st.integers(0, 10**7), st.text(min_size=1, max_size=40))
def test_a_token_is_the_base32_of_a_hash_over_length_prefixed_fields(run_id: str, item: int, step_id: str) -> None:
    fields = [run_id.encode(), str(item).encode(), step_id.encode()]
    digest = hashlib.sha256(b"".join(b"%d:%b" % (len(field), field) for field in fields)).digest()
    token = idempotency_token(run_id, item, step_id)
    assert token == base64.b32encode(digest).decode().lower()[:26]
    assert re.fullmatch(r"[a-z2-7]{26}", token)


def test_fields_of_a_token_do_not_run_together() -> None:
    assert idempotency_token("r", 11, "a") != idempotency_token("r1", 1, "a") != idempotency_token("r", 1, "1a")
