"""Programs that are started without some of root's rights, also by root."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

DAC_OVERRIDE, DAC_READ_SEARCH, SYS_TIME = 1, 2, 25
_PR_CAPBSET_DROP = 24


def without(*capabilities: int) -> Callable[[], None]:
    """What a new process does before it loads its program, so that this lacks the capabilities.

    It does nothing for a user who has none.
    """
    library = ctypes.CDLL(None)

    def drop() -> None:
        for capability in capabilities:
            library.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)

    return drop
