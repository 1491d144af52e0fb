"""Runs between the service and one OpenFace process, so that each ends when the other does.

Run as a script: `guard.py FOLDER PRIVATE NICE -- COMMAND...`, in a session of its own, with a pipe as
standard input.

- The command runs in `FOLDER`, in a process group of its own, with that niceness, without core dumps or files beyond
  1 GiB, and without network sockets (seccomp; on x86-64 and ARM64 only, elsewhere it reports that they stay open).
- A line on the pipe kills the group. The pipe's end means that the service is gone: the group is killed, and the
  service's own folder PRIVATE is removed.
- If this process itself dies, the kernel kills the command (PR_SET_PDEATHSIG).
- It exits as the command did: with its exit code, or 128 + the signal; 127 if it cannot be started.

It is a process of its own because code between fork and exec is not safe in a process with threads. It imports the
standard library only: it is started with -I -S, which takes a fiftieth of a second.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import select
import shutil
import signal
import sys

LARGEST_FILE = 1 << 30
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
# machine -> (its AUDIT_ARCH, number of its system call `socket`); linux/audit.h, asm/unistd.h
SOCKET_CALL = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
AF_INET, AF_INET6 = 2, 10


class _Instruction(ctypes.Structure):
    """struct sock_filter."""

    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint32)]


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction))]


def block_network(libc: ctypes.CDLL) -> bool:
    """Forbids IPv4 and IPv6 sockets (EACCES) in this process and all children. False if that fails."""
    if platform.machine() not in SOCKET_CALL:
        return False
    arch, number = SOCKET_CALL[platform.machine()]
    load, equal, answer = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    allow, refuse = 0x7FFF0000, 0x00050000 | 13  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | EACCES
    steps = [  # struct seccomp_data: number at 0, architecture at 4, first argument at 16
        (load, 0, 0, 4),
        (equal, 0, 6, arch),
        (load, 0, 0, 0),
        (equal, 0, 4, number),
        (load, 0, 0, 16),
        (equal, 1, 0, AF_INET),
        (equal, 0, 1, AF_INET6),
        (answer, 0, 0, refuse),
        (answer, 0, 0, allow),
    ]
    program = _Program(len(steps), (_Instruction * len(steps))(*(_Instruction(*step) for step in steps)))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0) == 0)


def run_command(folder: str, nice: int, call: list[str], guard: int) -> None:
    """In the child: sets all limits and executes the command in this process. Never returns."""
    try:
        os.setpgid(0, 0)
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != guard:  # it died before the line above
            os._exit(127)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
        os.nice(nice)
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if not block_network(libc):
            os.write(2, b"the network stays open: no seccomp here\n")
        os.execv(call[0], call)
    except OSError as error:
        os.write(2, f"{call[0]} cannot be started: {error.strerror}\n".encode(errors="backslashreplace"))
    finally:
        os._exit(127)


def kill(group: int) -> None:
    """Kills a process group; one that has ended is no error."""
    with contextlib.suppress(OSError):
        os.killpg(group, signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Runs the command and returns its exit code."""
    folder, private, nice, call = arguments[0], arguments[1], int(arguments[2]), arguments[4:]
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # set_wakeup_fd is for signals that have a handler
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        run_command(folder, nice, call, guard)
    with contextlib.suppress(OSError):  # it may have done so itself, and be the command by now
        os.setpgid(child, child)  # here too, so that it has its group before anything could kill it
    gone = False
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if 0 in ready:
            gone = not os.read(0, 4096)
            kill(child)
            os.waitpid(child, 0)
            code = 128 + signal.SIGKILL
            break
        os.read(woken, 64)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            code = 128 - code if code < 0 else code
            break
    kill(child)  # processes that it left behind
    if gone:
        shutil.rmtree(private, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
