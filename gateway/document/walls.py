"""What a converting process gives up before it opens a stranger's document. Linux only; each wall stands or is missing.

*Calls*: a seccomp filter takes away the system calls that no converter needs: sockets, new processes, signals, other
processes' memory; threads may be started. *Network*: the same filter, or where it is missing an empty network namespace.
*Files*: Landlock leaves the libraries, fonts, and the files and directories of the job; LibreOffice gets its own on top.
None needs a privilege, none can be taken back.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 38, 22

# --- system calls: numbers on x86_64 and aarch64 (linux/arch/*/syscall tables), None where there is none
_TAKEN: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "socketpair": (53, 199), "fork": (57, None), "vfork": (58, None),
    "execve": (59, 221), "execveat": (322, 281), "kill": (62, 129), "tkill": (200, 130),
    "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "io_uring_setup": (425, 425), "unshare": (272, 97), "setns": (308, 268),
    "mount": (165, 40), "bpf": (321, 280), "add_key": (248, 217), "keyctl": (250, 219), "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
}  # fmt: skip
_CLONE, _CLONE3 = (56, 220), (435, 435)  # which make threads too
_CLONE_THREAD = 0x10000
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH_*
_X32 = 0x40000000  # x86_64: calls of another numbering
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _DENY, _UNKNOWN = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38  # EPERM, ENOSYS
_FILTER_MODE = 2

# --- Landlock
_ALL = 0xFFFF & ~(1 << 0 | 1 << 6 | 1 << 11)  # of the rights to files: all but to run them, and to make devices
_OF_FILES = 1 << 1 | 1 << 2 | 1 << 14  # which make sense for a file: to write, to read, to truncate
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ_FILE, _READ_DIRECTORY = 1 << 2, 1 << 3
_WRITE_FILE, _REMOVE_FILE, _MAKE_FILE, _TRUNCATE = 1 << 1, 1 << 5, 1 << 8, 1 << 14
_RIGHTS = (0, 13, 14, 15, 15, 16)  # how many file rights each version of the interface knows
_NET_VERSION, _SCOPE_VERSION = 4, 6
_TCP, _SIGNALS_AND_ABSTRACT_SOCKETS = 0b11, 0b11

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000

_FONTS = ("/usr/share/fonts", "/usr/local/share/fonts", "/etc/fonts", "/usr/share/fontconfig", "/var/cache/fontconfig")
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
_DEVICES = ("/dev/null", "/dev/urandom")
_FOR_OFFICE = ("/usr/share", "/var/spool/libreoffice", "/etc/libreoffice")

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Walls:
    """Which walls stand."""

    network: bool
    files: bool


def put_up(read: Iterable[str] = (), write: Iterable[str] = (), *, office: str = "") -> Walls:
    """Give up what this process does not need. ``read``: files it may read; ``write``: directories it may fill.

    ``office``: the directory of LibreOffice's programs, where it does the work.
    """
    files = _only_files(read, write, office)
    return Walls(leave_network(), files)


# --- calls and network ------------------------------------------------------------------------------------------------


def leave_network() -> bool:
    """Open no connection from now on; False where nothing takes that away."""
    return _leave_calls() or _empty_namespace()


def _leave_calls() -> bool:
    """Let the calls of :data:`_TAKEN` fail with EPERM; False on another machine or kernel."""
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    machine = os.uname().machine
    if machine not in _MACHINES or sys.maxsize < 1 << 32:
        return False
    program = _program(*_MACHINES[machine])
    code = ctypes.create_string_buffer(b"".join(program))
    head = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))  # struct sock_fprog
    return bool(_libc.prctl(_PR_SET_SECCOMP, _FILTER_MODE, ctypes.c_char_p(head), 0, 0) == 0)


def _program(column: int, arch: int) -> list[bytes]:
    """The filter, as instructions (struct sock_filter) over struct seccomp_data: number at 0, architecture at 4, the
    first argument at 16. A thread may be cloned, a process not; clone3, which cannot be looked into, is said to be unknown.
    """
    numbers = [number for each in _TAKEN.values() if (number := each[column]) is not None]
    steps: list[tuple[int, int | None, int | None, int]] = [  # code, steps to pass over if so and if not; None: to denial
        (_LOAD, 0, 0, 4), (_EQUAL, 0, None, arch), (_LOAD, 0, 0, 0), (_AT_LEAST, None, 0, _X32),
        *((_EQUAL, None, 0, number) for number in numbers),
        (_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, _UNKNOWN),
        (_EQUAL, 0, 2, _CLONE[column]), (_LOAD, 0, 0, 16), (_ANY_BIT, 0, None, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _DENY),
    ]  # fmt: skip
    return [
        struct.pack("HBBI", code, *(len(steps) - 2 - at if skip is None else skip for skip in (yes, no)), value)
        for at, (code, yes, no, value) in enumerate(steps)
    ]


def _empty_namespace() -> bool:
    """Move into a network namespace without interfaces; False where that is not allowed."""
    return bool(_libc.unshare(_CLONE_NEWNET) == 0 or _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0)


# --- files ------------------------------------------------------------------------------------------------------------


def _only_files(read: Iterable[str], write: Iterable[str], office: str) -> bool:
    """Leave libraries, fonts, ``read``, ``write`` and what LibreOffice needs; False where the kernel has no Landlock."""
    version = _libc.syscall(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    known = (1 << _RIGHTS[min(version, len(_RIGHTS) - 1)]) - 1
    tcp = _TCP if version >= _NET_VERSION else 0
    scope = _SIGNALS_AND_ABSTRACT_SOCKETS if version >= _SCOPE_VERSION else 0
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    attributes = struct.pack("QQQ", known, tcp, scope)
    rules = _libc.syscall(_CREATE_RULESET, ctypes.c_char_p(attributes), len(attributes), 0)
    if rules < 0:
        return False
    try:
        for path in (*system(), *read, *((str(Path(office).parent), *_FOR_OFFICE) if office else ())):
            _allow(rules, path, _READ_FILE | _READ_DIRECTORY)
        for path in write:
            rights = _READ_FILE | _READ_DIRECTORY | _WRITE_FILE | _REMOVE_FILE | _MAKE_FILE | _TRUNCATE
            _allow(rules, path, (_ALL if office else rights) & known)
        return bool(_libc.syscall(_RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


@cache
def system() -> tuple[str, ...]:
    """What every converter reads: Python, packages, libraries and fonts. Once a process: call it when all is imported."""
    python = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    places = {*python, *_packages(), *_LIBRARIES, *_FONTS, *_DEVICES}
    return tuple(place for place in places if not any(str(parent) in places for parent in Path(place).parents))


def _packages() -> set[str]:
    """Where the packages lie that are loaded, ours among them: a part of one may be imported later, from anywhere."""
    return {
        place for name, module in tuple(sys.modules.items()) if "." not in name
        for place in getattr(module, "__path__", ())
    }  # fmt: skip


def _allow(rules: int, path: str, rights: int) -> None:
    """Allow what is at and beneath a path; a path that is not there needs no right."""
    try:
        at = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):  # noqa: PTH112  # the same test, without an object
            rights &= _OF_FILES
        _libc.syscall(_ADD_RULE, rules, 1, ctypes.c_char_p(struct.pack("=Qi", rights, at)), 0)
    finally:
        os.close(at)
