"""`detect`, `bench`, `demo`: programs of their own that need no engine here."""

import argparse


def detect(arguments: argparse.Namespace) -> int:
    """Find the spikes of a recording."""
    from app.detect.run import run_detect  # noqa: PLC0415
    from app.detect.settings import settings_from  # noqa: PLC0415

    return run_detect(settings_from(arguments))


def bench(arguments: argparse.Namespace) -> int:
    """Run one procedure on a source-measure unit, without an engine."""
    from app.bench.command import run_bench  # noqa: PLC0415

    return run_bench(arguments)


def demo(arguments: argparse.Namespace) -> int:
    """Run the 2020 experiment on mock instruments."""
    from app.demo.files import DemoSettings  # noqa: PLC0415
    from app.demo.run import run_demo  # noqa: PLC0415

    return run_demo(
        DemoSettings(
            out=arguments.out,
            seconds_per_phase=arguments.seconds_per_phase,
            seed=arguments.seed,
            recording=arguments.recording,
            shows_progress=not arguments.no_progress,
            prints_json=arguments.json,
            smu=arguments.smu,
            shows_window=arguments.gui,
        )
    )
