"""The optional part of the build: `MM2SS_COMPILE=1 pip install .` compiles the core with mypyc.

All else stands in setup.cfg. Without the variable nothing is compiled, and neither mypy nor a C
compiler is asked for: the wheel is pure Python.
"""

import os
import sys

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, PlatformError

#: What an event and a command pass through between two sockets, pure modules all of them. They are
#: compiled as one, so that they call each other without a detour through the interpreter.
CORE = {
    "config": "parameters",
    "iec104": "apci asdu conduit core link tape typeids",
    "relay": "ackpoint arrivals clocks commandfigures commands custody exchange fairqueue files"
    " histogram ledger lines locks master places policies pressure repeats requests rights"
    " roundtrip routing slots",
}
MODULES = [f"mm2ss/{part}/{name}.py" for part, names in CORE.items() for name in names.split()]
#: The compiler; the front end of the build installs it when asked for the build's requirements.
MYPY = "mypy[mypyc] >= 2.4"
#: The types are looked at as in `make lint`, but without its settings, which need plug-ins.
FLAGS = ["--config-file=", "--strict"]


class BuildCore(build_ext):
    """Says what is missing where the C code cannot be compiled."""

    def run(self) -> None:
        """Compile."""
        try:
            super().run()
        except (CompileError, PlatformError) as error:
            raise SystemExit(
                "mm2ss: MM2SS_COMPILE=1 needs a C compiler and the headers of this Python"
                f" (on Debian: gcc, python3-dev): {error}"
            ) from error


def core() -> dict[str, object]:
    """The arguments of `setup` for a build with a compiled core."""
    if "editable_wheel" in sys.argv:
        raise SystemExit("mm2ss: MM2SS_COMPILE=1 is not for -e: it would hide what is edited")
    try:
        from mypyc.build import mypycify
    except ImportError as error:
        if "egg_info" in sys.argv:  # the front end asks what the build requires
            return {"setup_requires": [MYPY]}
        raise SystemExit(f"mm2ss: MM2SS_COMPILE=1 needs {MYPY}: {error}") from error
    extensions = mypycify([*FLAGS, *MODULES], group_name="mm2ss", debug_level="0")
    return {"ext_modules": extensions, "cmdclass": {"build_ext": BuildCore}}


setup(**core() if os.environ.get("MM2SS_COMPILE") == "1" else {})
