"""An X server of its own, with mouse, keyboard and pictures; and a window to use them on. No tests.

The server is Xvfb, the mouse and keys are XTEST's by xdotool: what arrives in the window is what a
person's would be. Pictures are read from the server's own frame buffer.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from chain_rig import until
from PIL import Image

SIZE = (1600, 900)
N_STILL = 3
"""Reports; the window makes one every 100 ms."""
LIMIT_S = 60.0
MAX_PICTURE_BYTES = 190_000
MISSING = [name for name in ("Xvfb", "xdotool") if shutil.which(name) is None]
"""Programs that a session needs and this machine lacks."""


class Screen:
    """One X server's screen."""

    def __init__(self, display: str, frame_buffer: Path) -> None:
        self.display = display
        self._frame_buffer = frame_buffer

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "DISPLAY": self.display, "QT_QPA_PLATFORM": "xcb"}

    def xdotool(self, *words: str | int) -> None:
        command = ["xdotool", *map(str, words)]
        subprocess.run(command, env=self.environment, check=True, timeout=20, capture_output=True)

    def move(self, at: list[int]) -> None:
        self.xdotool("mousemove", *at)

    def click(self, at: list[int]) -> None:
        self.xdotool("mousemove", *at, "click", 1)

    def press(self, at: list[int]) -> None:
        self.xdotool("mousemove", *at, "mousedown", 1)

    def release(self) -> None:
        self.xdotool("mouseup", 1)

    def drag(self, start: list[int], end: list[int]) -> None:
        """Press, move in steps as a hand does, let go."""
        self.press(start)
        for step in range(1, 9):
            self.move([a + (b - a) * step // 8 for a, b in zip(start, end, strict=True)])
        self.release()

    def type(self, text: str) -> None:
        self.xdotool("type", "--delay", 12, text)

    def key(self, *keys: str) -> None:
        self.xdotool("key", *keys)

    def focus(self, title: str) -> None:
        """Give a window the keyboard: there is no window manager that would."""
        self.xdotool("search", "--onlyvisible", "--name", title, "windowfocus")

    def picture(self, path: Path) -> None:
        """Write what the screen shows as a PNG, in 256 colours if it would be large."""
        words = np.fromfile(self._frame_buffer, ">u4", 25)
        n_head, width, height, n_line = (int(words[i]) for i in (0, 4, 5, 12))
        n_skip = n_head + int(words[19]) * 12
        data = np.fromfile(self._frame_buffer, np.uint8, offset=n_skip)[: height * n_line]
        pixels = data.reshape(height, n_line // 4, 4)[:, :width, 2::-1]
        image = Image.fromarray(np.ascontiguousarray(pixels), "RGB")
        image.save(path, optimize=True)
        if path.stat().st_size > MAX_PICTURE_BYTES:
            image.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


@contextmanager
def x_screen(folder: Path) -> Iterator[Screen]:
    """A server on a free display, ended on the way out."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{SIZE[0]}x{SIZE[1]}x24"]
    command += ["-fbdir", str(folder), "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=(write,), stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as lines:
            number = lines.readline().strip()
        assert number, "Xvfb did not start"
        yield Screen(f":{number}", folder / "Xvfb_screen0")
    finally:
        server.terminate()
        server.wait(10.0)


class Window:
    """A window on a screen: where things are in it, what it shows, and hands to use it."""

    def __init__(self, screen: Screen, process: "subprocess.Popen[bytes]", report: Path) -> None:
        self.screen = screen
        self.process = process
        self._report = report
        self._n_seen = 0
        """What was told up to here is from before the newest click."""

    @property
    def told(self) -> dict[str, Any]:
        try:
            told: dict[str, Any] = json.loads(self._report.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            nothing = {"n": 0, "places": {}, "state": "", "is_fresh": False, "status": {}}
            return {**nothing, "log": [], "texts": [], "on_top": [], "said": ""}
        return told

    def place(self, name: str) -> list[int]:
        """Wait until something is on the screen and no longer moves, and say where."""
        seen: dict[int, list[int]] = {}

        def stands(told: dict[str, Any]) -> bool:
            if told["n"] >= self._n_seen + N_STILL:
                seen[told["n"]] = told["places"].get(name, [])
            newest = list(seen.values())[-N_STILL:]
            return len(newest) == N_STILL and all(at == newest[0] != [] for at in newest)

        self.until(stands, name)
        return seen[max(seen)]

    def until(self, is_so: Any, what: str, limit_s: float = LIMIT_S) -> None:
        def looks() -> bool:
            assert self.process.poll() is None, "the window has ended"
            return bool(is_so(self.told))

        until(looks, what, limit_s)

    def until_state(self, state: str, limit_s: float = LIMIT_S) -> None:
        self.until(lambda told: told["state"] == state, f"the window says {state}", limit_s)

    def shows(self, text: str) -> bool:
        return any(text in shown for shown in self.told["texts"])

    def click(self, name: str) -> None:
        self.screen.click(self.place(name))
        self._n_seen = self.told["n"]

    def panel(self, title: str) -> None:
        """Bring a panel to the front."""
        while title not in self.told["on_top"]:
            self.click(f"tab: {title}")
            with contextlib.suppress(AssertionError):  # a slow window may have moved its tabs
                self.until(lambda told: title in told["on_top"], title, 5.0)

    def write(self, field: str, text: str) -> None:
        """Click into a field and type."""
        self.click(f"field: {field}")
        self.screen.type(text)

    def hold(self, button: str, until_so: Any, what: str) -> None:
        """Keep the mouse pressed on a button until something has come of it."""
        self.screen.press(self.place(button))
        try:
            self.until(until_so, what)
        finally:
            self.screen.release()

    def picture(self, path: Path) -> None:
        """Take a picture once the window has drawn what came last; the mouse out of the way."""
        self.screen.move([SIZE[0] - 4, SIZE[1] - 4])
        time.sleep(0.4)  # nothing depends on it but what is seen
        self.screen.picture(path)


@contextmanager
def window_of(screen: Screen, folder: Path, *command: str) -> Iterator[Window]:
    """The window that a command of `spikebridge` opens."""
    report = folder / "window.json"
    report.unlink(missing_ok=True)
    script = Path(__file__).parent / "x_window.py"
    root = str(Path(__file__).parents[1])
    environment = {**screen.environment, "PYTHONPATH": root, "HOME": str(folder)}
    with (folder / "window.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, str(script), str(report), *command],
            env=environment,
            stderr=log,
            cwd=folder,
        )
    try:
        yield Window(screen, process, report)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(15.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
