"""Whether the pure modules run as Python or compiled; `setup.py` says which are compiled."""

from __future__ import annotations

from typing import Final

#: This module is compiled, or not, together with the others.
COMPILED: Final = not __file__.endswith((".py", ".pyc"))
#: The same in words, for logs and figures.
CORE: Final = "compiled" if COMPILED else "python"
