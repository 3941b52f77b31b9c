"""How every command speaks and fails: one sentence, one exit code."""

import argparse
import os
import sys
from collections.abc import Callable

from app.bridge.keys import KeyFileError
from app.config.load import ConfigError
from app.console.client import NoEngineError
from app.console.messages import CommandRefusedError
from app.exit_codes import ExitCode
from app.mock_rig import MockStartError
from app.recording.errors import RecordingError
from app.run_folder import RigBusyError


def run_guarded(run: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run a command; turn the failures that a user can cause into one sentence and a code."""
    try:
        return run(arguments)
    except (ConfigError, KeyFileError) as exc:
        return fail(str(exc), ExitCode.USAGE)
    except RigBusyError as exc:
        return fail(str(exc), ExitCode.BUSY)
    except (NoEngineError, CommandRefusedError, MockStartError, RecordingError) as exc:
        return fail(str(exc), ExitCode.FAILED)
    except KeyboardInterrupt:
        return fail("interrupted", ExitCode.FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED


def say(text: str) -> None:
    """Print a line of a command's answer."""
    print(text, flush=True)  # noqa: T201 - the command line's own voice


def fail(sentence: str, code: ExitCode) -> int:
    """Print why a command ended badly; return the exit code."""
    print(f"spikebridge: {sentence}", file=sys.stderr)  # noqa: T201
    return code
