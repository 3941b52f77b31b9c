"""`site.toml`: what stands in this laboratory, and what it is allowed to do."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.config.about import About
from app.config.amplifiers import Amplifier
from app.config.limits import ChipLimits, DeviceLimits
from app.config.recording import Recording
from app.config.units import (
    Count,
    Fraction,
    Line,
    Name,
    NeuronId,
    NotNegative,
    PatternId,
    Port,
    Positive,
    Text,
)


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Listen(_Section, frozen=True, kw_only=True):
    """Where peers may reach this site. Port 0 takes any free one (and says which)."""

    host: str
    port: Port


class Metrics(_Section, frozen=True, kw_only=True):
    """Where `/metrics` is shown to Prometheus. Whoever reaches the address may read it."""

    host: str = "127.0.0.1"
    port: Port = 47010


class PeerRights(_Section, frozen=True, kw_only=True):
    """What a peer's key may do here: nothing, unless the owner of this site says so."""

    send: tuple[Name, ...] = ()
    """Its streams that are taken here, by the names of its instruments."""
    receive: tuple[Name, ...] = ()
    """Our instruments whose events it gets."""
    reach_patterns: tuple[PatternId, ...] = ()
    """Our stimulation patterns that its PSPs may trigger."""
    reach_neurons: tuple[NeuronId, ...] = ()
    """Neurons of our chips that its PSPs may drive."""
    max_psps_per_s: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """PSPs in any sliding second, each way. Two sites that excite each other meet this limit."""


class Peer(_Section, frozen=True, kw_only=True):
    """Another site, known by its pinned certificate."""

    site: Name
    certificate: str | None = None
    """File of its certificate; without it `<key_folder>/peers/<site>.crt` (see `trust`)."""
    host: str | None = None
    """Where it listens; without host it dials us."""
    port: Port | None = None
    rtt_s: NotNegative = 0.0
    """Round trip time to plan with; `check` holds it against the deadlines."""
    jitter_s: NotNegative = 0.0
    may: PeerRights = PeerRights()


class Operator(_Section, frozen=True, kw_only=True):
    """A person who may arm this site from a console."""

    name: Text
    certificate: str | None = None
    """File of the operator's certificate; without it only over the local socket."""


class Device(_Section, frozen=True, kw_only=True):
    """One memristor: its name in experiments and its place on the array."""

    name: Name
    wordline: Line
    bitline: Line
    limits: DeviceLimits = DeviceLimits()
    wafer: Text | None = None
    die: Text | None = None
    """Where it was made; go into every recording."""


class ArcOneSmu(
    _Section,
    frozen=True,
    kw_only=True,
    tag_field="driver",
    tag="arc_one",
):
    """An ArC ONE board on its serial port (or `socket://host:port`)."""

    name: Name
    port: str
    parity: Literal["even", "none"] = "even"
    n_wordlines: Line = 32
    n_bitlines: Line = 32
    read_voltage_v: Annotated[float, Meta(gt=0)] = 0.2
    n_read_cycles: Annotated[int, Meta(ge=1, le=1000)] = 50
    line_pacing_s: NotNegative = 1e-3
    compliance_a: Annotated[float, Meta(ge=10e-6, le=1e-3)] | None = None
    """For current-voltage curves, where alone the board knows one; single pulses have none."""
    devices: Annotated[tuple[Device, ...], Meta(min_length=1)]
    mock: dict[str, str | int | float | bool] = {}


class Keithley707BSwitch(
    _Section, frozen=True, kw_only=True, tag_field="driver", tag="keithley_707b"
):
    """A 707B or 708B that leads from a bench unit's terminals to an array."""

    resource: Text
    """VISA address, such as `TCPIP::10.0.0.6::5025::SOCKET`."""
    visa_backend: Text = "@py"
    baud_rate: Count = 9600
    wordlines: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=256)]
    """Channels that connect HI with word line 1, 2, ...: slot, row, column, such as "1A01"."""
    bitlines: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=256)]
    """Channels that connect LO with bit line 1, 2, ..."""


Switch = Keithley707BSwitch


class _BenchUnit(_Section, frozen=True, kw_only=True):
    """A bench unit with one device between its terminals (1, 1), or with a switch and an array."""

    name: Name
    resource: Text
    """VISA address: `TCPIP::10.0.0.5::5025::SOCKET`, `ASRL/dev/ttyUSB0::INSTR`, ..."""
    visa_backend: Text = "@py"
    """PyVISA-py, "vendor" for an installed VISA library, or the path of one."""
    baud_rate: Count = 9600
    read_voltage_v: Annotated[float, Meta(gt=0)] = 0.2
    compliance_a: Positive = 1e-4
    """Set, read back and compared before the output goes on."""
    nplc: Annotated[float, Meta(ge=0.01, le=10)] = 0.1
    settle_s: NotNegative = 1e-3
    is_four_wire: bool = False
    switch: Switch | None = None
    devices: Annotated[tuple[Device, ...], Meta(min_length=1)]
    mock: dict[str, str | int | float | bool] = {}

    def __post_init__(self) -> None:
        """Refuse several devices between two terminals."""
        if self.switch is None and len(self.devices) > 1:
            raise ValueError("devices: expected length <= 1 for a unit without a switch")

    @property
    def n_wordlines(self) -> int:
        """Get how many word lines the switch reaches; 1 without one."""
        return 1 if self.switch is None else len(self.switch.wordlines)

    @property
    def n_bitlines(self) -> int:
        """Get how many bit lines the switch reaches; 1 without one."""
        return 1 if self.switch is None else len(self.switch.bitlines)


class Keithley2400Smu(
    _BenchUnit, frozen=True, kw_only=True, tag_field="driver", tag="keithley_2400"
):
    """A 2400, 2401, 2410 or 2420; it makes no pulse below 5 ms."""

    is_rear: bool = False


class Keithley2450Smu(
    _BenchUnit, frozen=True, kw_only=True, tag_field="driver", tag="keithley_2450"
):
    """A 2450 or 2460 set to SCPI; it makes no pulse below 2 ms."""

    is_rear: bool = False


class Keithley2600Smu(
    _BenchUnit, frozen=True, kw_only=True, tag_field="driver", tag="keithley_2600"
):
    """A 2601B to 2636B, channel A; pulses from 100 us by its own clock."""


class KeysightB2900Smu(
    _BenchUnit, frozen=True, kw_only=True, tag_field="driver", tag="keysight_b2900"
):
    """A B2901A to B2912B, channel 1; pulses from 50 us by its own clock."""


BenchUnit = Keithley2400Smu | Keithley2450Smu | Keithley2600Smu | KeysightB2900Smu
Smu = ArcOneSmu | BenchUnit


class AerUdpChip(
    _Section,
    frozen=True,
    kw_only=True,
    tag_field="driver",
    tag="aer_udp",
):
    """A neuron chip whose host speaks the 8-byte UDP packet of 2020."""

    name: Name
    listen_host: str
    listen_port: Port
    chip_host: str
    chip_port: Port
    neurons: Annotated[tuple[NeuronId, ...], Meta(min_length=1)]
    limits: ChipLimits = ChipLimits()
    mock: dict[str, str | int | float | bool] = {}


Chip = AerUdpChip


class Synapses(_Section, frozen=True, kw_only=True):
    """How this site runs the synapses that it hosts."""

    max_pulse_lag_s: Positive = 5.0
    """A pulse that would come later than this after its event is recorded, not applied."""
    max_wait_s: Positive = 60.0
    """Longest wait for a stream to become complete before a HOLE is declared."""
    max_waiting_events: Count = 100_000
    idle_read_interval_s: Positive = 2.0
    """Read a device that nothing has read for so long."""
    min_change: Fraction = 0.003
    """Smallest relative change of resistance that counts as a move after a pulse."""


class Site(_Section, frozen=True, kw_only=True):
    """The whole of `site.toml`. Relative paths count from the file's own folder."""

    schema_version: Literal[1]
    site: Name
    key_folder: str = "keys"
    run_folder: str = "run"
    """Console socket, lock and addresses: short-lived files of this machine."""
    session_folder: str = "sessions"
    is_recording_raw: bool = False
    recording: Recording = Recording()
    limits_override: str | None = None
    """File in which somebody signs for limits looser than their defaults."""
    alert_command: tuple[str, ...] = ()
    """Run, with what happened as last argument, when this rig trips and nobody is at a console."""
    about: About = About()
    listen: Listen | None = None
    peers: tuple[Peer, ...] = ()
    operators: tuple[Operator, ...] = ()
    metrics: Metrics | None = None
    """None: no metrics are shown."""
    console_listen: Listen | None = None
    """Where operators' consoles may attach over the network, with their keys."""
    amplifiers: Annotated[tuple[Amplifier, ...], Meta(max_length=1)] = ()
    smus: tuple[Smu, ...] = ()
    chips: tuple[Chip, ...] = ()
    synapses: Synapses = Synapses()
