"""Makes the relay known to twistd."""

from twisted.application.service import ServiceMaker

mm2ss = ServiceMaker(
    "mm2ss",
    "mm2ss.tap",
    "Many IEC 60870-5-104 masters share one RTU.",
    "mm2ss",
)
