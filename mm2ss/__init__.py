"""mm2ss: many IEC 60870-5-104 controlling stations share one controlled station."""

__version__ = "0.1.0"
