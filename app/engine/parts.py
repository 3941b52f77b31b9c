"""Everything that an engine consists of, as the composition root hands it over."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from app.bridge.bridge import Bridge
from app.config.experiment import Experiment
from app.config.site import Site
from app.console.live_feed import LiveFeed
from app.core.acquisition import Acquisition
from app.core.chip_reader import ChipReader
from app.core.clock import ClockNs
from app.core.spikes import Provenance
from app.engine.alerter import Alerter
from app.engine.amplifier_upkeep import AmplifierUpkeep
from app.engine.late_checker import LateChecker
from app.engine.ledger import Ledger
from app.engine.procedures import Procedures
from app.engine.site_links import SiteLinks
from app.recording.event_log import EventLog
from app.recording.raw_writer import RawWriter
from app.recording.session import Session
from app.recording.session_log import SessionLog
from app.safety.actuator_worker import ActuatorWorker
from app.safety.gate import Gate
from app.safety.make_safe import CanMakeSafe
from app.synapse.device_worker import DeviceWorker
from app.synapse.network_worker import NetworkWorker
from drivers.mea.protocol import MeaAmplifier, Pattern, StreamFormat


@dataclass(slots=True)
class EngineParts:
    """Everything that the composition root has made and connected, not yet started."""

    site: Site
    experiment: Experiment | None
    experiment_hash: str
    session: Session
    feed: LiveFeed
    """What consoles are shown live."""
    clock_ns: ClockNs
    event_log: EventLog
    session_log: SessionLog
    ledger: Ledger
    gate: Gate
    bridge: Bridge | None
    """None: this site has no peers."""
    links: SiteLinks
    instruments: Sequence[CanMakeSafe]
    provenance: Mapping[str, Provenance]
    """By instrument: live, mock or playback."""
    amplifier: MeaAmplifier | None = None
    stream_format: StreamFormat | None = None
    acquisition: Acquisition | None = None
    raw_writer: RawWriter | None = None
    chip_readers: Sequence[ChipReader] = ()
    actuators: Mapping[str, ActuatorWorker] = field(default_factory=dict)
    upkeep: Mapping[str, AmplifierUpkeep] = field(default_factory=dict)
    """By amplifier: what is done to it while it is stopped."""
    file_patterns: Callable[[], Mapping[str, Sequence[Pattern]]] = dict
    """The patterns that the site file lists now, by amplifier."""
    devices: Sequence[DeviceWorker] = ()
    network: NetworkWorker | None = None
    procedures: Procedures | None = None
    """None: no source-measure unit, or a dry run."""
    is_dry_run: bool = False
    """Actuators are recorders: everything is judged and nothing moves."""
    alerter: Alerter | None = None
    late_checker: LateChecker | None = None
    close_instruments: Callable[[], None] = lambda: None
