"""Which account may run PostgreSQL, and whether it can reach a folder.

PostgreSQL refuses to run as root, and a root's home is often closed (0700) to everybody else.
"""

import os
import pwd
import stat
from pathlib import Path

__all__ = ["can_enter", "give", "unprivileged_account"]

# Exists wherever there is a passwd file; initdb wants an account with a name. No account is ever created here.
_NOBODY = "nobody"


def unprivileged_account() -> str | None:
    """Return the account that stands in for root, or None when we are not root and need none."""
    return _NOBODY if os.geteuid() == 0 else None


def can_enter(account: str | None, folder: Path) -> bool:
    """Return whether `account` may pass through `folder` and all folders above it.

    Groups and access lists are not asked: where they alone would let it in, the answer is a cautious False.
    """
    if account is None:
        return os.access(folder, os.X_OK)
    uid = pwd.getpwnam(account).pw_uid
    resolved = folder.resolve()
    return all(_lets_in(step.stat(), uid) for step in (resolved, *resolved.parents))


def give(account: str | None, folder: Path) -> None:
    """Make `account` the owner of one folder and close it to everybody else."""
    folder.chmod(0o700)
    if account is not None:
        entry = pwd.getpwnam(account)
        os.chown(folder, entry.pw_uid, entry.pw_gid)


def _lets_in(entry: os.stat_result, uid: int) -> bool:
    return bool(entry.st_mode & (stat.S_IXUSR if entry.st_uid == uid else stat.S_IXOTH))
