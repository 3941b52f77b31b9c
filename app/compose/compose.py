"""The composition root: from configuration to an engine whose parts know each other.

Each part has its builder in the file beside this one that names it; here is their order, which is
the order in which they need each other.
"""

from collections.abc import Callable

from app.compose.actuators import make_actuators, make_devices, make_reception
from app.compose.gate import make_gate, past_of
from app.compose.ground import EngineFiles, Ground
from app.compose.late_parts import LateParts
from app.compose.links import identity_of, make_bridge, make_links, make_streams
from app.compose.procedures import make_desk
from app.compose.record import (
    make_alerter,
    make_late_checker,
    make_record,
    note_recoveries,
)
from app.compose.sources import make_acquisition, make_chip_readers, make_raw_writer
from app.compose.synapses import make_network
from app.compose.upkeep import FilePatterns, make_upkeep
from app.config.experiment import experiment_hash
from app.config.paths import session_root
from app.core.clock import monotonic_ns
from app.core.input_log import InputLog
from app.engine.engine import Engine
from app.engine.parts import EngineParts
from app.engine.record_faults import RecordFaults
from app.instruments import Rig, provenance_of
from app.recording.disk import Disk
from app.recording.received import last_seqs_of_site
from app.recording.recovery import recover_session
from app.recording.session import session_folders
from app.recording.session_log import SessionLog


def compose(
    files: EngineFiles,
    rig: Rig,
    engine: Engine,
    *,
    is_mock: bool,
    is_dry_run: bool,
    on_step: Callable[[], None],
    disk: Disk,
) -> EngineParts:
    """Make every part of an engine; start nothing. `rig` is open.

    Parameters
    ----------
    is_dry_run
        The rig's actuators are recorders.
    on_step
        Called after each thing that may take long, so that whoever waits sees it go on.
    disk
        What is recorded through.

    Raises
    ------
    KeyFileError
        A key or certificate is missing or damaged.
    RecordingError
        The session folder cannot be made.
    OSError
        The listening address cannot be had.
    """
    ground = Ground(
        files,
        rig,
        engine,
        "" if files.experiment is None else experiment_hash(files.experiment),
        provenance_of(files.site, is_mock=is_mock),
        is_dry_run,
        disk,
    )
    root = session_root(files.site_file, files.site)
    recoveries = []
    for folder in session_folders(root, files.site.site):
        recoveries.append(recover_session(folder, ground.disk.files))
        on_step()
    last_seqs = last_seqs_of_site(root, files.site.site)
    past = past_of(ground)
    on_step()
    amplifier = next(iter(rig.amplifiers.values()), None)
    late = LateParts()

    record = make_record(ground, amplifier, late)
    ledger = record.ledger
    note_recoveries(ledger, recoveries)
    input_log = InputLog(ledger.input)
    gate = make_gate(ground, ledger, input_log, past)

    actuators = make_actuators(ground, gate, ledger)
    reception = make_reception(ground, actuators, ledger)
    devices = make_devices(ground, gate, ledger, late.submit)
    streams = make_streams(ground, ledger, late)
    identity = identity_of(ground)
    links = make_links(ground, identity, ledger, gate, reception, late)
    if identity is not None:
        late.bridge = make_bridge(ground, identity, record, streams, links, last_seqs)
        links.bridge = late.bridge
    late.network = make_network(ground, ledger, input_log, reception, devices, late)

    late.faults = RecordFaults(ledger, gate, links.publish_gate_state, monotonic_ns)
    raw_writer = acquisition = None
    upkeep = {}
    if amplifier is not None:
        raw_writer = make_raw_writer(ground, amplifier, record, late.faults)
        acquisition = make_acquisition(ground, amplifier, streams[0], record, raw_writer, late)
        upkeep = make_upkeep(ground, amplifier, acquisition, record, gate)
    return EngineParts(
        site=files.site,
        experiment=files.experiment,
        experiment_hash=ground.experiment_hash,
        session=record.session,
        feed=record.showing.feed,
        clock_ns=monotonic_ns,
        event_log=record.event_log,
        session_log=SessionLog(
            record.session.folder, on_failure=engine.failed, files=ground.disk.files
        ),
        ledger=ledger,
        gate=gate,
        bridge=late.bridge,
        links=links,
        instruments=rig.all(),
        provenance=ground.provenance,
        amplifier=amplifier,
        stream_format=None if amplifier is None else amplifier.stream_format,
        acquisition=acquisition,
        raw_writer=raw_writer,
        chip_readers=make_chip_readers(ground, streams[len(rig.amplifiers) :], record.showing),
        actuators=actuators,
        upkeep=upkeep,
        file_patterns=FilePatterns(files.site_file).listed,
        devices=devices,
        network=late.network,
        procedures=make_desk(ground, record, gate, links, devices),
        is_dry_run=is_dry_run,
        alerter=make_alerter(ground, ledger),
        late_checker=make_late_checker(ground, ledger, raw_writer),
        close_instruments=rig.close,
    )
