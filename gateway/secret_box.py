"""Secrets at rest: sealed with a key that is not in the store.

The key is 32 random bytes in URL-safe base64: from `FLOWSPAN_SECRET_KEY`, else in a file of the user's own (mode 0600), made
when the first secret is sealed. Sealing is Fernet's (AES-128-CBC and HMAC-SHA256).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from flowspan.errors import PreconditionError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

KEY_VARIABLE: Final = "FLOWSPAN_SECRET_KEY"
KEY_FILE: Final = "secret.key"
"""In the user's configuration directory."""
MAKE_KEY: Final = "python3 -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"


class KeyFileBox:
    """Implements `runtime_core.ports.SecretBox`.

    Args:
        path: of the key file. It is read, or made, when the first secret comes by.
        environment: where `FLOWSPAN_SECRET_KEY` is looked for; it stands over the file.
    """

    def __init__(self, path: Path, environment: Mapping[str, str] | None = None) -> None:
        self._path = path
        self._environment = os.environ if environment is None else environment
        self._fernet: Fernet | None = None

    def seal(self, data: bytes) -> str:
        return self._opened(may_make=True).encrypt(data).decode()

    def unseal(self, sealed: str) -> bytes:
        from cryptography.fernet import InvalidToken

        try:
            return self._opened(may_make=False).decrypt(sealed.encode())
        except InvalidToken as error:
            # The next try reads the key again: somebody may have put the right one there.
            self._fernet = None
            raise _unusable(
                f"the run's secrets were sealed with another key than the one in {self._source()}; give the right one and restart"
            ) from error

    def _source(self) -> str:
        return KEY_VARIABLE if self._environment.get(KEY_VARIABLE) else str(self._path)

    def _opened(self, *, may_make: bool) -> Fernet:
        if self._fernet is None:
            from cryptography.fernet import Fernet

            key = self._environment.get(KEY_VARIABLE) or self._read() or (self._make() if may_make else None)
            if key is None:
                raise _unusable(
                    f"the key of the run's secrets is missing: set {KEY_VARIABLE}, or put it back into {self._path}, and restart"
                )
            try:
                self._fernet = Fernet(key)
            except ValueError as error:
                raise _unusable(
                    f"{self._source()} holds no key: 32 bytes in URL-safe base64 are needed; to make one: {MAKE_KEY}"
                ) from error
        return self._fernet

    def _read(self) -> str | None:
        try:
            # Not blocking: a pipe that nobody writes to would hold up the gateway.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(f"the key file {self._path} cannot be read: {error.strerror}") from error
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise _unusable(f"the key file {self._path} is no file")
            if about.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or about.st_uid != os.geteuid():
                raise _unusable(f"others may read the key file {self._path}; make it yours alone: chmod 600")
            return os.read(descriptor, 256).decode("ascii", "replace").strip()
        except OSError as error:
            raise _unusable(f"the key file {self._path} cannot be read: {error.strerror}") from error
        finally:
            os.close(descriptor)

    def _make(self) -> str:
        """A new key, durable before anything is sealed with it. Of two processes that make one, the first wins."""
        from cryptography.fernet import Fernet

        # Named at random: in a container every gateway has the same pid, and one may have been killed right here.
        fresh = self._path.with_name(f".{self._path.name}.{token_hex(8)}")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                try:
                    os.write(descriptor, Fernet.generate_key() + b"\n")
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                os.link(fresh, self._path)
            except FileExistsError:
                pass
            finally:
                os.unlink(fresh)
            directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise _unusable(f"no key for secrets can be kept in {self._path}: {error.strerror}; set {KEY_VARIABLE}") from error
        key = self._read()
        assert key is not None, "it was made a moment ago"
        return key


def _unusable(message: str) -> PreconditionError:
    """`isConfiguration`: whoever runs the gateway has to mend it, so commands end with 78."""
    return PreconditionError(message, isConfiguration=True)
