"""What `spikebridge gui` and its helpers do, without Qt until a window is really wanted."""

import argparse
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from app.bridge.keys import fingerprint_text, keygen
from app.bridge.tls import TlsIdentity
from app.config.load import ConfigError
from app.console.attachment import EnginePlace, LocalEngine, RemoteEngine
from app.exit_codes import ExitCode
from app.gui.engines import StartedEngines

EXAMPLE = Path(__file__).parent / "example"
CHAIN = Path(__file__).parents[1] / "demo" / "chain2020"


def gui(arguments: argparse.Namespace) -> int:
    """Show the window: on engines of this machine, started if need be, or over the network."""
    with ExitStack() as stack:
        site_files, experiment = list(arguments.site_files), arguments.experiment
        is_example = not site_files and arguments.mock and not arguments.attach
        places: list[EnginePlace] = []
        names: list[str] = []
        if arguments.attach:
            places.append(_remote(arguments))
            names.append(arguments.attach)
        elif is_example:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="spikebridge-")))
            shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
            site_files, experiment = [folder / "bench.toml"], folder / "experiment.toml"
        elif not site_files:
            raise ConfigError("gui: name a SITE.toml, or --attach HOST:PORT, or --mock")
        engines = StartedEngines()
        for site_file in site_files:
            name, path = engines.ensure(
                site_file,
                experiment=experiment,
                is_mock=arguments.mock,
                may_start=not arguments.attach_only,
            )
            names.append(name)
            places.append(LocalEngine(path))
        from app.gui.application import run_window  # noqa: PLC0415 - only a window needs Qt

        code = run_window(places, names, engines, asks_at_end=not is_example)
        if is_example:
            engines.end()  # its folder goes with the window
        return code


def screenshots(arguments: argparse.Namespace) -> int:
    """Make the window's pictures from a made-up session."""
    from app.gui.scene.screenshots import run  # noqa: PLC0415 - only pictures need Qt

    for file in run(arguments.out, CHAIN):
        _say(str(file))
    return ExitCode.OK


def operator_key(arguments: argparse.Namespace) -> int:
    """Make an operator's key and certificate, for consoles over the network."""
    _, certificate = keygen(arguments.folder, arguments.name)
    _say(f"made {certificate}")
    _say(f"fingerprint {fingerprint_text(certificate)}")
    _say("name the .crt file under [[operators]] in site.toml; the .key never leaves your hands")
    return ExitCode.OK


def _remote(arguments: argparse.Namespace) -> RemoteEngine:
    host, _, port = arguments.attach.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigError(f"--attach {arguments.attach}: must be HOST:PORT, port 1 to 65535")
    files = (arguments.key, arguments.certificate, arguments.site_certificate)
    if None in files:
        raise ConfigError("--attach needs --key, --certificate and --site-certificate")
    identity = TlsIdentity(arguments.key, arguments.certificate, {host: arguments.site_certificate})
    return RemoteEngine(host.strip("[]"), int(port), identity)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
