"""Processes by an identity that can be written down: a pid, and when its process began, because pids are given again.

Decides who lives: a process of that pid that began then and is no zombie. Beginnings count from the boot, so that
setting the clock kills nobody. The command line is no part of the identity, because a process may change its own; it is
looked at before a process is ended that somebody else started. Refuses to end another process that has the pid by now.

>>> import os
>>> me = identity_of(os.getpid())
>>> me == identity_of(os.getpid()), is_alive(me), is_alive(ProcessIdentity(me.pid, me.began_s + 1))
(True, True, False)
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

_GONE = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
_POLL_S = 0.05


@dataclass(frozen=True)
class ProcessIdentity:
    """Law: within one boot of a machine no two processes have the same.

    Attributes:
        began_s: after the boot, to the kernel's hundredth. None: not known, whoever has the pid.
    """

    pid: int
    began_s: float | None


def identity_of(pid: int) -> ProcessIdentity | None:
    """Of the living process that has the pid now; None where there is none."""
    try:
        process = psutil.Process(pid)
        if process.status() in _GONE:
            return None
        return ProcessIdentity(pid, round(process.create_time() - psutil.boot_time(), 2))
    except psutil.NoSuchProcess:
        return None


def is_alive(identity: ProcessIdentity) -> bool:
    found = identity_of(identity.pid)
    return found is not None and identity.began_s in (None, found.began_s)


def runs(identity: ProcessIdentity, argument: str, *, environment: Mapping[str, str]) -> bool:
    """Whether it lives, was called with `argument` and has these variables; no where it may not be asked."""
    try:
        process = psutil.Process(identity.pid)
        called = argument in process.cmdline() and environment.items() <= process.environ().items()
    except psutil.Error:
        return False
    return called and is_alive(identity)


def listening_on(port: int) -> str:
    """Who listens on a TCP port of this machine, as a message says it; "" where that may not be known."""
    try:
        sockets = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN and one.pid]
        pids = [one.pid for one in sockets if one.laddr.port == port]
        return f"process {pids[0]}, {psutil.Process(pids[0]).name()}" if pids else ""
    except psutil.Error:
        return ""


def end_process(identity: ProcessIdentity, *, within_s: float) -> None:
    """Ask a process to end, and have it ended when it did not in time."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(identity.pid)
        if not is_alive(identity):
            return
        process.terminate()
        if not _is_gone(identity, within_s=within_s):
            process.kill()
            _is_gone(identity, within_s=within_s)


def _is_gone(identity: ProcessIdentity, *, within_s: float) -> bool:
    """Not `psutil.Process.wait`: what nobody reaps, as in many a container, stays a zombie, which never ends for it."""
    deadline = time.monotonic() + within_s
    while is_alive(identity):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def end_children(children: Sequence[subprocess.Popen[bytes]], *, within_s: float) -> None:
    """The same for processes of our own, all asked before one is waited for."""
    for child in children:
        child.terminate()
    for child in children:
        try:
            child.wait(within_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
