"""A spy around an object: compiled objects do not let their methods be replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Around:
    """Stands for an object, some of whose methods are done by others.

    :param inner: the object, which does the rest.
    :param methods: what is called instead, by name.
    """

    def __init__(self, inner: object, **methods: Callable[..., object]) -> None:
        self._inner = inner
        self.__dict__.update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
