"""The pipe from an engine to its supervisor: what is said on it, and how long silence may last."""

import os

ALIVE = b"."
"""The engine runs, and each of its parts moves."""
STARTING = b"s"
"""The engine does not run yet, and has done one more step towards it."""

START_SILENCE_S = 60.0
"""The longest step of a start, one function of the detection kernel, takes 1.7 s to compile alone
on a machine (measured): this is 35 times as much."""
START_LIMIT_S = 600.0
"""For a whole start, however much is said. Compiling everything takes 11 s of processor time."""
RUN_SILENCE_S = 4.0


class Heartbeat:
    """The engine's end. A supervisor that is gone is noticed by `ParentWatch`."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        if fd is not None:
            os.set_blocking(fd, False)

    @property
    def is_heard(self) -> bool:
        """Say whether there is a supervisor."""
        return self._fd is not None

    def alive(self) -> None:
        """Say that this engine's parts move."""
        self._say(ALIVE)

    def starting(self) -> None:
        """Say that the start has come one step further."""
        self._say(STARTING)

    def _say(self, word: bytes) -> None:
        if self._fd is None:
            return
        try:
            os.write(self._fd, word)
        except (BlockingIOError, BrokenPipeError):
            return


class Patience:
    """The supervisor's judgement of one engine. Pure: the clock's value comes in."""

    def __init__(self, now_s: float) -> None:
        self._begun_s = self._heard_s = now_s
        self.is_starting = True

    def heard(self, said: bytes, now_s: float) -> None:
        """Take what came through the pipe. Once it runs only `ALIVE` counts."""
        if ALIVE in said:
            self.is_starting = False
        elif not self.is_starting:
            return
        self._heard_s = now_s

    def why_over(self, now_s: float) -> str:
        """Return why the engine has to be ended now; empty while there is no reason."""
        silent_s = now_s - self._heard_s
        if not silent_s <= (START_SILENCE_S if self.is_starting else RUN_SILENCE_S):
            return f"silent for {silent_s:.1f} s"
        if self.is_starting and not now_s - self._begun_s <= START_LIMIT_S:
            return f"not started within {START_LIMIT_S:g} s"
        return ""
