"""The key of secrets at rest: made once, read with care, missed with a remedy."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flowspan.errors import PreconditionError
from gateway.secret_box import KEY_VARIABLE, KeyFileBox


def box(path: Path, **environment: str) -> KeyFileBox:
    return KeyFileBox(path, environment)


def test_what_is_sealed_is_unsealed_by_the_next_process_and_by_no_other_key(tmp_path: Path) -> None:
    path = tmp_path / "home" / "secret.key"
    sealed = box(path).seal(b"hunter22")
    assert b"hunter22" not in sealed.encode()
    assert box(path).unseal(sealed) == b"hunter22"
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(PreconditionError, match="another key"):
        box(tmp_path / "other.key", **{KEY_VARIABLE: "A" * 43 + "="}).unseal(sealed)


def test_an_empty_key_in_the_environment_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    sealed = box(path, **{KEY_VARIABLE: ""}).seal(b"x")
    assert box(path).unseal(sealed) == b"x"


@pytest.mark.parametrize("key", ["short", "é" * 44, "A" * 200])
def test_a_key_that_is_none_is_refused_with_its_place(tmp_path: Path, key: str) -> None:
    with pytest.raises(PreconditionError, match=KEY_VARIABLE):
        box(tmp_path / "secret.key", **{KEY_VARIABLE: key}).seal(b"x")


def test_a_missing_key_is_never_made_where_something_is_to_be_unsealed(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    with pytest.raises(PreconditionError, match="missing"):
        box(path).unseal("gAAAAAB")
    assert not path.exists()


def test_a_pipe_in_place_of_the_key_file_does_not_hold_up_the_gateway(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    os.mkfifo(path, 0o600)
    with pytest.raises(PreconditionError, match="is no file"):
        box(path).seal(b"x")


def test_a_directory_a_link_and_a_readable_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    path.mkdir(mode=0o700)
    with pytest.raises(PreconditionError, match="is no file"):
        box(path).seal(b"x")
    path.rmdir()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PreconditionError, match="cannot be read"):
        box(path).seal(b"x")
    path.unlink()
    path.write_text("A" * 43 + "=")
    path.chmod(0o640)
    with pytest.raises(PreconditionError, match="chmod 600"):
        box(path).seal(b"x")


def test_what_a_killed_gateway_left_half_made_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / f".secret.key.{os.getpid()}").write_text("half")
    box(tmp_path / "secret.key").seal(b"x")


def test_of_many_that_make_a_key_at_once_all_use_the_same(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    with ThreadPoolExecutor(8) as pool:
        sealed = list(pool.map(lambda n: box(path).seal(b"%d" % n), range(8)))
    assert [box(path).unseal(one) for one in sealed] == [b"%d" % n for n in range(8)]
    assert list(tmp_path.iterdir()) == [path]
