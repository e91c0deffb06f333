"""File operations of a process, seen and failed by another one: system calls, whoever makes them.

A seccomp filter (Linux; no rights are needed) stops each call that may change a file until the process at the other end
of its descriptor lets it go on or fails it. So what Arrow, Orbax and TensorStore write from threads of C++ is seen as
what Python writes. Not seen: memory maps and io_uring, which nothing here writes files by.
"""

import contextlib
import ctypes
import dataclasses
import fcntl
import os
import platform
import select
import signal
import struct
import sys
from collections.abc import Callable

CALLS = {  # by number on x86-64: the operation, the argument with a descriptor, the argument with a path
    **dict.fromkeys((1, 18, 20, 40, 285, 296, 328), ("write", 0, None)),  # write, pwrite, sendfile, fallocate, ...
    326: ("write", 2, None),
    76: ("write", None, 0),
    77: ("write", 0, None),  # copy_file_range, truncate, ftruncate
    **dict.fromkeys((74, 75), ("fsync", 0, None)),
    2: ("open", None, 0),
    85: ("open", None, 0),
    257: ("open", 0, 1),
    82: ("rename", None, 1),
    264: ("rename", 2, 3),
    316: ("rename", 2, 3),
    86: ("link", None, 1),
    88: ("link", None, 1),
    265: ("link", 2, 3),
    266: ("link", 1, 2),
    87: ("unlink", None, 0),
    84: ("unlink", None, 0),
    263: ("unlink", 0, 1),
    83: ("mkdir", None, 0),
    258: ("mkdir", 0, 1),
}
_OPEN_FLAGS = {2: 1, 257: 2}  # the argument with the flags
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_ARCHITECTURE, _SECCOMP = 0xC000003E, 317  # x86-64
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NO_NEW_PRIVILEGES, _SET_FILTER, _GET_SIZES, _NEW_LISTENER, _CONTINUE = 38, 1, 3, 8, 1
_CALL = "QIIiIQ6Q"  # struct seccomp_notif
_CURRENT_FOLDER, _PAGE = -100, 4096

KILL = -1


@dataclasses.dataclass(frozen=True)
class Operation:
    """An operation on a file that is about to happen.

    Attributes:
      name: open (for writing), write, fsync, rename, link, unlink or mkdir; of files and folders alike.
      path: of the file; for rename and link the new one.
    """

    name: str
    path: str

    def needs_room(self) -> bool:
        """Whether a full disk refuses it."""
        new = self.name in ("mkdir", "link") or (self.name == "open" and not os.path.lexists(self.path))
        return new or self.name == "write"


def is_supported() -> bool:
    """Whether this machine can tell of system calls: Linux on x86-64, where seccomp is allowed."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    return ctypes.CDLL(None).syscall(_SECCOMP, _GET_SIZES, 0, ctypes.create_string_buffer(6)) == 0


def ask_before_file_operations() -> int:
    """From now on this process and its later threads wait in `CALLS`; returns the descriptor for `answer`."""
    size = len(CALLS)
    load, equal, give = 0x20, 0x15, 0x06
    steps = [(load, 0, 0, 4), (equal, 0, size + 1, _ARCHITECTURE), (load, 0, 0, 0)]
    steps += [(equal, size - place, 0, number) for place, number in enumerate(CALLS)]
    steps += [(give, 0, 0, _ALLOW), (give, 0, 0, _ASK)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    system = ctypes.CDLL(None, use_errno=True)
    system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    listener = system.syscall(_SECCOMP, _SET_FILTER, _NEW_LISTENER, program)
    if listener < 0:
        raise OSError(ctypes.get_errno(), "expected a kernel with seccomp notifications, found none")
    return listener


def answer(listener: int, pid: int, decide: Callable[[Operation], int]) -> None:
    """Answers the calls of a process until it and all that it has started end.

    Args:
      listener: from `ask_before_file_operations` of that process.
      pid: the process.
      decide: operation -> 0 to let it happen, an error number to fail it, or `KILL` to kill the process before it.
    """
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while poll.poll()[0][1] & select.POLLIN:
        with contextlib.suppress(FileNotFoundError):  # the process has ended in the meantime
            call = bytearray(struct.calcsize(_CALL))
            fcntl.ioctl(listener, _RECEIVE, call)
            name, thread, _, number, _, _, *arguments = struct.unpack(_CALL, call)
            operation = _operation(thread, number, arguments)
            decision = decide(operation) if operation is not None else 0
            if decision == KILL:
                os.kill(pid, signal.SIGKILL)
            else:
                fcntl.ioctl(listener, _SEND, struct.pack("QqiI", name, 0, -decision, 0 if decision else _CONTINUE))


def _operation(thread: int, number: int, arguments: list[int]) -> Operation | None:
    """What a call is about to do; None if it opens a file for reading or writes to what is no file."""
    name, descriptor, path = CALLS[number]
    if number in _OPEN_FLAGS and not arguments[_OPEN_FLAGS[number]] & _WRITES:
        return None
    folder = f"/proc/{thread}/cwd"
    if descriptor is not None and (given := ctypes.c_int(arguments[descriptor]).value) != _CURRENT_FOLDER:
        folder = f"/proc/{thread}/fd/{given}"
    try:
        found = os.readlink(folder)
        return Operation(name, found if path is None else os.path.join(found, _text_at(thread, arguments[path])))
    except OSError:  # a call that will fail anyway, or a process that has ended
        return None


def _text_at(thread: int, address: int) -> str:
    """The text at an address of a process; memory after its end may not be there."""
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        room = _PAGE - address % _PAGE
        text = memory.read(room)
        if b"\0" not in text:
            text += memory.read(_PAGE)
    return os.fsdecode(text.partition(b"\0")[0])
