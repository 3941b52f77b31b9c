"""The mock Intan RHX as a process: `python -m mocks.rhx_server`.

The first line on standard output is JSON with `ready` and the ports. The process ends on SIGTERM
and, with `--exit-on-stdin-eof`, when its standard input ends.
"""

import argparse
import json
import signal
import sys
from collections.abc import Sequence

from mocks.culture import CultureSettings
from mocks.culture_layout import CultureLayout
from mocks.rhx_faults import faults_from
from mocks.rhx_loop import RhxServer, RhxServerSettings

SAMPLE_RATES_HZ = (20_000, 25_000, 30_000)


def settings_from(arguments: Sequence[str]) -> RhxServerSettings:
    """Return settings from the command line; wrong ones end the process with a usage text."""
    given = _parser().parse_args(arguments)
    return RhxServerSettings(
        host=given.host,
        command_port=given.command_port,
        waveform_port=given.waveform_port,
        spike_port=given.spike_port,
        seed=given.seed,
        culture=CultureSettings(
            layout=given.grid or CultureLayout(),
            sample_rate_hz=given.sample_rate_hz,
            targets=tuple(given.target or [(3, 3)]),
            n_background_neurons=given.n_background_neurons,
        ),
        stim_step_a=given.stim_step_a,
        upload_s=given.upload_s,
        impedance_s=given.impedance_s,
        open_electrodes=given.open_electrodes,
        shorted_electrodes=given.shorted_electrodes,
        is_connect_pressed=not given.without_connect,
        reconnect_after_s=given.reconnect_after_s,
        command_poll_s=given.command_poll_s,
        truth_address=given.truth,
        faults=given.faults,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mocks.rhx_server", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    for name in ("command", "waveform", "spike"):
        add(f"--{name}-port", type=int, default=0, help="0 takes a free one")
    add("--truth", type=_address, metavar="HOST:PORT", help="what really happened, for tests")
    add("--seed", type=int, default=1)
    add("--sample-rate-hz", type=int, choices=SAMPLE_RATES_HZ, default=20_000)
    add("--stim-step-a", type=float, default=1e-6, help="current of one stimulation step")
    add("--target", type=_place, action="append", metavar="COLUMN,ROW", help="may be repeated")
    add("--grid", type=_grid, metavar="COLUMNSxROWS", help="default 8x8 without its corners")
    add("--n-background-neurons", type=int, default=80)
    add("--upload-s", type=float, default=0.3)
    add("--impedance-s", type=float, default=0.5, help="how long an impedance check takes")
    for fault in ("open", "shorted"):
        add(f"--{fault}-electrodes", type=_names, default=(), metavar="A-000,A-001")
    add("--without-connect", action="store_true", help="the operator has not pressed Connect")
    add("--reconnect-after-s", type=_seconds_or_never, default=1.0, metavar="S|never")
    add("--command-poll-s", type=float, default=0.0)
    add("--faults", type=faults_from, default=(), metavar="JSON", help="see mocks.rhx_faults")
    add("--exit-on-stdin-eof", action="store_true")
    return parser


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _grid(text: str) -> CultureLayout:
    columns, rows = text.split("x")
    return CultureLayout(int(columns), int(rows), is_without_corners=False)


def _place(text: str) -> tuple[int, int]:
    column, row = text.split(",")
    return int(column), int(row)


def _seconds_or_never(text: str) -> float | None:
    return None if text == "never" else float(text)


def main(arguments: Sequence[str]) -> None:
    """Run the mock until it is told to end."""
    server = RhxServer(settings_from(arguments))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: server.stop())
    sys.stdout.write(json.dumps(server.ready) + "\n")
    sys.stdout.flush()
    server.serve(sys.stdin.fileno() if "--exit-on-stdin-eof" in arguments else None)


if __name__ == "__main__":
    main(sys.argv[1:])
