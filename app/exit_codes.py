"""What the exit code of a command says."""

import enum


class ExitCode(enum.IntEnum):
    """Why a command ended. Scripts and systemd units may rely on these numbers."""

    OK = 0
    FAILED = 1
    """The command ran, and its answer is no: a claim did not hold, a check found conflicts."""
    USAGE = 2
    """Wrong arguments or a wrong configuration file."""
    INSTRUMENT = 3
    """An instrument did not answer at start; nothing was done with the others."""
    WORKER = 4
    """A part of the engine failed; every instrument was made safe."""
    ENGINE_DIED = 5
    """The engine was killed or hung; the supervisor made every instrument safe."""
    UNSAFE = 6
    """Not every instrument could be made safe: a person must look at the rig."""
    BUSY = 7
    """Another engine already runs this rig."""
