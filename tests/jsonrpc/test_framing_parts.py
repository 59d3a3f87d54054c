"""Large pieces of a line are kept as they came: what is read does not depend on it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowspan.jsonrpc import FrameLimits, framing
from flowspan.jsonrpc.framing import Block, EndlessLine, Frame, LineFramer, OversizedLine

LIMITS = FrameLimits(max_line_bytes=24, max_discard_bytes=40, sniff_bytes=5)

chunks = st.lists(st.text("ab\n", min_size=1, max_size=14).map(str.encode), max_size=14)


def fed(pieces: list[bytes], part_bytes: int) -> tuple[list[Frame], int, bytes]:
    """What came, lines joined; and what is told of the line that has not ended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(framing, "_PART_BYTES", part_bytes)
        framer = LineFramer(LIMITS)
        frames: list[Frame] = []
        for piece in pieces:
            for frame in framer.feed(piece):
                if isinstance(frame, Block) and frames and isinstance(frames[-1], Block):
                    frames[-1] = Block(frames[-1].data + frame.data)
                else:
                    frames.append(frame)
        return frames, framer.partial_bytes, framer.partial_line


@given(chunks, st.integers(1, 8))
def test_parts_make_the_lines_that_one_buffer_makes(pieces: list[bytes], part_bytes: int) -> None:
    assert fed(pieces, part_bytes) == fed(pieces, 1 << 30)


@given(chunks)
def test_lines_within_the_limit_come_out_as_they_were_written(pieces: list[bytes]) -> None:
    frames, _, partial = fed(pieces, 4)
    whole = b"".join(pieces)
    *lines, rest = whole.split(b"\n")
    if all(len(line) <= LIMITS.max_line_bytes for line in [*lines, rest]):
        assert b"".join(frame.data for frame in frames if isinstance(frame, Block)) == whole[: len(whole) - len(rest)]
        assert partial == rest[: LIMITS.sniff_bytes]
    else:
        assert any(isinstance(frame, OversizedLine | EndlessLine) for frame in frames) or len(rest) > LIMITS.max_line_bytes


def test_a_large_line_in_large_pieces_is_copied_once() -> None:
    framer = LineFramer()
    piece = b"x" * 200_000
    for _ in range(4):
        assert framer.feed(piece) == []
    assert framer._held == b""
    (block,) = framer.feed(piece + b"\n")
    assert isinstance(block, Block)
    assert block.data == piece * 5 + b"\n"
    assert framer.partial_bytes == 0
