"""The tests of mm2ss; helpers are imported as ``tests.<module>``."""
