"""The built-in controlled station and the demo's controlling stations."""

from mm2ss.simulator.builtin import demoGroups, demoRtu

__all__ = ["demoGroups", "demoRtu"]
