"""Which process trains a study: at most one; without its claim it cannot write."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psutil
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from hpsearch.errors import StudyBusyError
from hpsearch.store.ddl import claims

STALE = timedelta(minutes=10)
"""A claim from another host, whose processes are invisible here, expires this long after its last commit."""

_SAME_START = 0.05
"""Seconds by which two readings of the same process's start may differ."""


def check_free(connection: Connection, study_id: int, name: str, token: str | None = None) -> None:
    """Check that nobody but the holder of `token` is training the study, which is locked.

    Raises:
        StudyBusyError: a live process is, or one on another host may be.
    """
    claim = connection.execute(sa.select(claims).where(claims.c.study_id == study_id)).first()
    if claim is None or claim.token == token:
        return
    if claim.host == socket.gethostname():
        if _lives(claim):
            raise StudyBusyError(
                f'study "{name}" is being trained by process {claim.pid} '
                f"since {claim.begun:%Y-%m-%d %H:%M} UTC; wait for it or stop it, then repeat the command"
            )
        return
    left = claim.renewed + STALE - _now()
    if left > timedelta(0):
        raise StudyBusyError(
            f'study "{name}" is being trained by process {claim.pid} on {claim.host} '
            f"since {claim.begun:%Y-%m-%d %H:%M} UTC; stop that process or, if it is gone, "
            f"repeat the command in {left.total_seconds() / 60:.0f} min"
        )


@dataclass(frozen=True)
class Holder:
    """The process that claimed a study and did not release it: it trains the study, or was killed.

    lives: None on another host, whose processes are invisible here. heard: when it last stored something.
    """

    host: str
    pid: int
    lives: bool | None
    heard: datetime

    @property
    def stale(self) -> bool:
        """Whether its claim has expired: nobody knows what became of it."""
        return datetime.now(UTC) - self.heard > STALE


def holder(connection: Connection, study_id: int) -> Holder | None:
    """Who claims to train the study, if anybody does."""
    claim = connection.execute(sa.select(claims).where(claims.c.study_id == study_id)).first()
    if claim is None:
        return None
    lives = _lives(claim) if claim.host == socket.gethostname() else None
    return Holder(claim.host, claim.pid, lives, claim.renewed.replace(tzinfo=UTC))


def claim(connection: Connection, study_id: int, token: str | None) -> str:
    """Claim the study, which is locked and free, for this process; returns the token."""
    token = token or secrets.token_hex(16)
    connection.execute(sa.delete(claims).where(claims.c.study_id == study_id))
    connection.execute(
        sa.insert(claims).values(
            study_id=study_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            process_started=_start(psutil.Process()),
            token=token,
            begun=_now(),
            renewed=_now(),
        )
    )
    return token


def renew(connection: Connection, study_id: int, name: str, token: str | None) -> None:
    """Renew this process's claim on the study, which is locked.

    Raises:
        StudyBusyError: the claim is lost; another process may be training the study.
    """
    held = (claims.c.study_id == study_id) & (claims.c.token == token)
    renewed = connection.execute(sa.update(claims).where(held).values(renewed=_now()))
    if renewed.rowcount != 1:
        raise StudyBusyError(
            f'study "{name}": another process has taken over, so this step stored nothing. '
            "Earlier results are safe; when the other process is done, repeat the command to resume."
        )


def release(connection: Connection, study_id: int, token: str) -> None:
    """Release the claim, if this process still holds it."""
    connection.execute(sa.delete(claims).where(claims.c.study_id == study_id, claims.c.token == token))


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _start(process: psutil.Process) -> float:
    """Seconds from boot to the process's start: resetting the clock does not change it."""
    booted = psutil.boot_time()  # first: psutil adds the value read here
    return float(process.create_time() - booted)


def _lives(claim: Row[tuple[object, ...]]) -> bool:
    """Whether the process that made the claim still runs: another may have its number by now."""
    try:
        process = psutil.Process(claim.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return bool(abs(_start(process) - claim.process_started) < _SAME_START)
    except psutil.NoSuchProcess:
        return False
