"""An RTU made by others as a program: lib60870's server in the mode that keeps its events.

c104 brings that library along, but offers only the mode in which each connection has a queue of
its own, which is emptied when the connection is gone. Here the library is called directly, with
one queue for all connections (its "single redundancy group").

    python -m tests.soak.lib60870rtu '{"ip": "127.0.0.2", "port": 2404}'

Each line of standard input names the events to be made, ``FIRST LAST``; each line of standard
output tells how many wait in the queue then, acknowledged ones not counted. It ends when its
standard input does.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path

from tests.soak.events import event

#: Entries of the event queue: more than a test makes.
_QUEUE = 5000
_SINGLE_REDUNDANCY_GROUP = 0
#: The parameters of a connection, in the order of the library's structure.
_PARAMETERS = ("k", "w", "t0", "t1", "t2", "t3")


def loadLibrary() -> ctypes.CDLL:
    """lib60870, out of c104's extension module."""
    import c104

    (path,) = Path(c104.__path__[0]).glob("_c104.*")
    library = ctypes.CDLL(str(path))
    pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    for name, result, arguments in (
        ("CS104_Slave_create", pointer, (number, number)),
        ("CS104_Slave_setServerMode", None, (pointer, number)),
        ("CS104_Slave_setLocalAddress", None, (pointer, text)),
        ("CS104_Slave_setLocalPort", None, (pointer, number)),
        ("CS104_Slave_getAppLayerParameters", pointer, (pointer,)),
        ("CS104_Slave_getConnectionParameters", ctypes.POINTER(number), (pointer,)),
        ("CS104_Slave_start", None, (pointer,)),
        ("CS104_Slave_enqueueASDU", None, (pointer, pointer)),
        ("CS104_Slave_getNumberOfQueueEntries", number, (pointer, pointer)),
        ("CS101_ASDU_createFromBuffer", pointer, (pointer, text, number)),
        ("CS101_ASDU_destroy", None, (pointer,)),
    ):
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


def main() -> None:
    """Listen, and make the events that the lines name."""
    options = json.loads(sys.argv[1])
    library = loadLibrary()
    slave = library.CS104_Slave_create(_QUEUE, 100)
    library.CS104_Slave_setServerMode(slave, _SINGLE_REDUNDANCY_GROUP)
    library.CS104_Slave_setLocalAddress(slave, options["ip"].encode())
    library.CS104_Slave_setLocalPort(slave, options["port"])
    parameters = library.CS104_Slave_getConnectionParameters(slave)
    for name, value in options.get("parameters", {}).items():
        parameters[_PARAMETERS.index(name)] = value
    layer = library.CS104_Slave_getAppLayerParameters(slave)
    library.CS104_Slave_start(slave)
    for line in sys.stdin:
        first, last = map(int, line.split())
        for number in range(first, last + 1):
            octets = event(number)
            asdu = library.CS101_ASDU_createFromBuffer(layer, octets, len(octets))
            library.CS104_Slave_enqueueASDU(slave, asdu)
            library.CS101_ASDU_destroy(asdu)
        print(library.CS104_Slave_getNumberOfQueueEntries(slave, None), flush=True)
    os._exit(0)  # its threads need not end in an orderly way


if __name__ == "__main__":
    main()
