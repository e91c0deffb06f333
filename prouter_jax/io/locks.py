"""Locks that exclude other processes: a file on a disk, an object in a bucket.

The file's lock ends with its process. The object FOLDER/NAME.N names its owner and its lifetime; the owner writes it
again before that is over. One that stays the same for its lifetime is that of a dead process, and the next process
creates N + 1, which a bucket does for one of several. No clocks are compared.
"""

import contextlib
import itertools
import json
import os
import pathlib
import secrets
import socket
import threading
import time
from collections.abc import Iterator

import filelock

from prouter_jax.io.paths import file_system, is_remote, list_folder

FOLDER_LOCK = ".lock"
"""File name of the lock of the commands that write into a folder."""
_LIFETIME = 60.0  # seconds
_RENEWALS = 3  # in a lifetime
_LOOKS = 30


class Busy(ValueError):
    """Another process holds the lock."""


@contextlib.contextmanager
def lock_folder(folder: pathlib.Path) -> Iterator[None]:
    """`lock` for a command that writes into a folder; a second one there is refused."""
    with lock(folder / FOLDER_LOCK):
        yield


@contextlib.contextmanager
def lock(path: pathlib.Path) -> Iterator[None]:
    """Holds a lock within the context and removes it afterwards.

    Args:
      path: the lock, on a disk or in a bucket; its folder is created if missing, and removed if nothing else came.

    Raises:
      Busy: in one line, if another process holds the lock. In a bucket that takes up to a minute to tell.
    """
    with _lock_object(path) if is_remote(path) else _lock_file(path):
        yield


def try_lock(descriptor: int) -> bool:
    """Locks an open file until it is closed; returns False if another process, or this one, has it locked.

    Raises:
      OSError: if the file system has no locks.
    """
    return filelock.lock_descriptor(descriptor, blocking=False)


@contextlib.contextmanager
def _lock_file(path: pathlib.Path) -> Iterator[None]:
    new = not path.parent.exists()
    descriptor = _open_locked(path)
    try:
        os.pwrite(descriptor, f"{_owner()}\n".encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):  # the file alone says nothing
            path.unlink(missing_ok=True)
        os.close(descriptor)
        if new:
            with contextlib.suppress(OSError):
                path.parent.rmdir()


def _open_locked(path: pathlib.Path) -> int:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except (FileNotFoundError, FileExistsError):  # another holder has removed the folder that it had made
            if path.parent.exists() and not path.parent.is_dir():
                raise
            continue
        try:
            if not _lock_named(descriptor, path):
                raise _busy(path)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder has removed it since it was opened


def _lock_named(descriptor: int, path: pathlib.Path) -> bool:
    try:
        return try_lock(descriptor)
    except OSError as error:
        raise OSError(error.errno, "expected a file system with locks (flock), found none", str(path)) from None


@contextlib.contextmanager
def _lock_object(path: pathlib.Path) -> Iterator[None]:
    owner, ended = f"{_owner()} {secrets.token_hex(8)}", threading.Event()
    mine = _create(path, owner)

    def renew() -> None:
        for number in itertools.count(1):
            if ended.wait(_LIFETIME / _RENEWALS):
                return
            with contextlib.suppress(OSError):
                mine.write_bytes(_content(owner, number))

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        mine.unlink(missing_ok=True)


def _create(path: pathlib.Path, owner: str) -> pathlib.Path:
    """Creates the next object of a lock, and removes those of dead processes."""
    found = _numbers(path)
    if any(_is_alive(_numbered(path, number)) for number in found):
        raise _busy(path)
    number = max(found, default=0) + 1
    mine = _numbered(path, number)
    system, name = file_system(mine)
    try:
        system.pipe_file(name, _content(owner, 0), mode="create")
    except FileExistsError:
        raise _busy(path) from None
    if set(_numbers(path)) - set(found) != {number}:  # one came that this process has not seen
        mine.unlink(missing_ok=True)
        raise _busy(path)
    for old in found:
        _numbered(path, old).unlink(missing_ok=True)
    return mine


def _is_alive(path: pathlib.Path) -> bool:
    """Whether an object changes within its lifetime, by its owner's renewal or end."""
    try:
        first = path.read_bytes()
        lifetime = float(json.loads(first)["seconds"])
        for _ in range(_LOOKS):
            time.sleep(lifetime / _LOOKS)
            if path.read_bytes() != first:
                return True
    except FileNotFoundError:
        return True
    return False


def _numbers(path: pathlib.Path) -> list[int]:
    """The numbers N of the objects PATH.N."""
    ends = (other.name.removeprefix(f"{path.name}.") for other in list_folder(path.parent))
    return sorted(int(end) for end in ends if end.isdecimal())


def _numbered(path: pathlib.Path, number: int) -> pathlib.Path:
    return path.with_name(f"{path.name}.{number}")


def _content(owner: str, renewals: int) -> bytes:
    return json.dumps({"owner": owner, "seconds": _LIFETIME, "renewals": renewals}).encode()


def _owner() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _busy(path: pathlib.Path) -> Busy:
    return Busy(f"{path.parent}: expected no other command that writes here, found one that runs ({path.name})")
