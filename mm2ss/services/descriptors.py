"""How many files and sockets the process may have open: as many as the system lets it."""

from __future__ import annotations

import sys

if sys.platform == "win32":

    def allowed() -> int | None:
        """Descriptors that this process may have at most; None = there is no limit."""
        return None

    def takeAll() -> None:
        """Let the process have as many as it may."""

else:
    import resource

    def allowed() -> int | None:
        """Descriptors that this process may have at most; None = there is no limit."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        return None if hard == resource.RLIM_INFINITY else hard

    def takeAll() -> None:
        """Let the process have as many as it may: the soft limit, which holds, becomes the hard
        one, beyond which only an administrator can go."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            except (OSError, ValueError):
                pass  # some systems have bounds that they do not tell; what holds stays
