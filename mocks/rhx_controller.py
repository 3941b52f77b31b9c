"""What RHX does with commands: texts in, replies out; run modes, uploads, restrictions.

Success is silent, replies have no terminator. Warnings about inconsistent stimulation parameters
stay in RHX's window, so there are none here. No sockets, no waiting: `poll` moves time on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mocks.rhx_board import RhxBoard
from mocks.rhx_commands import Command, Execute, Get, LiveNote, Malformed, Set, parse
from mocks.rhx_parameters import (
    Parameter,
    ParameterSet,
    WhenSettable,
    port_parameters,
)
from mocks.rhx_stim import StimProgram, program_from, programs_from

_KEYS = {f"f{i}": f"keypressf{i}" for i in range(1, 9)}
_MODES = {"run": "running", "record": "recording", "trigger": "trigger"}
_NEEDS_FILE = {"record": "recording", "trigger": "triggered recording"}
_STOPPED_ONLY = {
    "measureimpedance": "MeasureImpedance",
    "rescanports": "RescanPorts",
    "loadsettingsfile": "LoadSettingsFile",
    "uploadampsettlesettings": "UploadAmpSettleSettings",
    "uploadchargerecoverysettings": "UploadChargeRecoverySettings",
    "uploadstimparameters": "UploadStimParameters",
    "uploadbandwidthsettings": "UploadBandwidthSettings",
    "setspikedetectionthresholds": "SetSpikeDetectionThresholds",
}
_UPLOAD_IS_BUSY = "Error - Another upload cannot be started until the previous upload completes"


class DataPort(Protocol):
    """A data socket as the commands see it: RHX listens, one client comes."""

    host: str
    port: int

    @property
    def status(self) -> str:
        """Return Connected, Pending or Disconnected."""

    def listen(self) -> None:
        """Wait for a client; no effect while one is connected or awaited."""

    def disconnect(self) -> None:
        """Drop the client, or stop waiting for one."""

    def move(self, host: str, port: int) -> None:
        """Use another address from the next `listen` on."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload under way: what it found in the parameters, and when it will be in force.

    `channel` is None for all channels.
    """

    done_ns: int
    channel: int | None
    programs: dict[int, StimProgram]


class RhxController:
    """The command side of RHX. `n_bare_sets` counts commands on which the real one may crash.

    An upload takes `upload_s` for all channels, a tenth for one, plus `late_upload_s`. A run
    started during an upload begins with the old parameters and changes to the new ones when the
    upload is complete.
    """

    def __init__(
        self,
        board: RhxBoard,
        waveform: DataPort,
        spike: DataPort,
        clock_ns: Callable[[], int],
        upload_s: float,
    ) -> None:
        self.board = board
        self.late_upload_s = 0.0
        self.n_bare_sets = 0
        self.live_notes: list[str] = []
        self._data_ports = {"waveform": waveform, "spike": spike}
        self._clock_ns = clock_ns
        self._upload_s = upload_s
        self._upload: Upload | None = None
        self._mode = "stop"
        self._deferred: list[list[Command]] = []
        n_on_port: dict[str, int] = {}
        for name in board.names:
            n_on_port[name[0].lower()] = n_on_port.get(name[0].lower(), 0) + 1
        self._ports = {letter: ParameterSet(port_parameters(n)) for letter, n in n_on_port.items()}
        self._channel_of = {name.lower(): i for i, name in enumerate(board.names)}

    def receive(self, text: str) -> list[str]:
        """Execute one received text; return the replies in order.

        What stands behind a `set RunMode run` is executed after the stop: RHX enters its run loop
        inside the handler.
        """
        replies: list[str] = []
        self._execute_batch(parse(text), replies)
        while self._deferred and not self.board.is_running:
            self._execute_batch(self._deferred.pop(), replies)
        return replies

    def poll(self) -> None:
        """Put an upload in force whose time has come."""
        upload = self._upload
        if upload is None or self._clock_ns() < upload.done_ns:
            return
        programs = self.board.stimulator.programs
        if upload.channel is None:
            programs.clear()
        else:
            programs.pop(upload.channel, None)
        programs.update(upload.programs)
        self._upload = None
        self.board.parameters.put("UploadInProgress", "False")

    def _execute_batch(self, commands: list[Command], replies: list[str]) -> None:
        for i, command in enumerate(commands):
            was_running = self.board.is_running
            self.poll()
            reply = self._execute_one(command)
            if reply:
                replies.append(reply)
            if self.board.is_running and not was_running:
                self._deferred.append(commands[i + 1 :])
                return

    def _execute_one(self, command: Command) -> str:
        match command:
            case Get(parameter):
                return self._get(parameter)
            case Set(parameter, value):
                return self._set(parameter, value)
            case Execute(action, None):
                return self._execute(action)
            case Execute(action, str(argument)):
                return self._execute_with(action, argument)
            case LiveNote(text):
                return self._note(text)
            case Malformed(error, is_bare_set):
                self.n_bare_sets += is_bare_set
                return error

    # -- parameters

    def _find(self, name: str) -> tuple[ParameterSet, Parameter] | None:
        owner, _, rest = name.lower().partition(".")
        groups: list[tuple[ParameterSet, str]] = [(self.board.parameters, name)]
        if owner in self._channel_of:
            groups.append((self.board.channels[self._channel_of[owner]], rest))
        if owner in self._ports:
            groups.append((self._ports[owner], rest))
        for group, key in groups:
            if (parameter := group.find(key)) is not None:
                return group, parameter
        return None

    def _get(self, name: str) -> str:
        if (special := self._get_special(name.lower())) is not None:
            return special
        found = self._find(name)
        if found is None:
            return "Unrecognized parameter"
        group, parameter = found
        return f"Return: {parameter.name} {group.text(parameter.name)}"

    def _get_special(self, name: str) -> str | None:
        match name:
            case "runmode":
                return f"Return: RunMode {self._mode.capitalize()}"
            case "currenttimestamp":
                return f"Return: {self._last_timestamp()}"
            case "currenttimeseconds":
                last = self._last_timestamp()
                return f"Return: {last / self.board.sample_rate_hz if last >= 0 else -1:g}"
        return self._get_data_port(name)

    def _last_timestamp(self) -> int:
        return self.board.next_timestamp - 1 if self.board.is_running else -1

    def _get_data_port(self, name: str) -> str | None:
        for kind, port in self._data_ports.items():
            proper = f"TCP{kind.capitalize()}Data"
            match name.removeprefix(f"tcp{kind}data"):
                case "outputhost" if not port.host:
                    return f"Return: Empty {proper}OutputHost"
                case "outputhost":
                    return f"Return: {proper}OutputHost {port.host}"
                case "outputport":
                    return f"Return: {proper}OutputPort {port.port}"
                case "outputconnectionstatus":
                    return f"Return: {proper}OutputConnectionStatus {port.status}"
                case "socket.status":
                    return f"Return: {proper}Socket.Status {port.status}"
        return None

    def _set(self, name: str, value: str) -> str:
        if name.lower() == "runmode":
            return self._set_run_mode(value.lower())
        if (answer := self._set_data_port(name.lower(), value.lower())) is not None:
            return answer
        found = self._find(name)
        if found is None:
            return "Unrecognized parameter"
        group, parameter = found
        if self._is_restricted(parameter.when):
            return f"{parameter.name} {parameter.when.value}"
        keeps_case = parameter.name.startswith(("Filename.", "ImpedanceFilename."))
        parsed = parameter.parse(value if keeps_case else value.lower())
        if parsed is None:
            return f"Invalid value for {parameter.name} command. Acceptable: {parameter.acceptable}"
        group.put(parameter.name, parsed)
        self.board.note_changed_outputs()
        return ""

    def _is_restricted(self, when: WhenSettable) -> bool:
        match when:
            case WhenSettable.NEVER:
                return True
            case WhenSettable.STOPPED:
                return self.board.is_running
            case WhenSettable.NOT_RECORDING:
                return self._mode in ("record", "trigger")
            case WhenSettable.ALWAYS:
                return False

    def _set_data_port(self, name: str, value: str) -> str | None:
        for kind, port in self._data_ports.items():
            proper = f"TCP{kind.capitalize()}Data"
            match name.removeprefix(f"tcp{kind}data"):
                case "outputhost" | "outputport" as end if self.board.is_running:
                    return f"{proper}Output{end[6:].capitalize()} {WhenSettable.STOPPED.value}"
                case "outputhost":
                    port.move(value, port.port)
                    return ""
                case "outputport":
                    return self._move_port(proper, port, value)
                case "outputconnectionstatus":
                    return "Connection status cannot be changed through this command."
                case "socket.status":
                    return _set_status(proper, port, value)
        return None

    def _move_port(self, proper: str, port: DataPort, value: str) -> str:
        # the port given at start may lie above RHX's range: naming it again is no change
        number = int(value) if value.isascii() and value.isdigit() else -1
        if number == port.port:
            return ""
        if not (0 <= number <= 9999):
            return f"Invalid value for {proper}OutputPort command"
        port.move(port.host, number)
        return ""

    # -- run mode

    def _set_run_mode(self, mode: str) -> str:
        if mode == "stop":
            if not self.board.is_running:
                return "Board must be running in order to stop"
            self.board.stop()
        elif mode not in _MODES:
            return "Invalid value for SetRunMode command"
        elif self.board.is_running:
            return f"Board must be stopped in order to start {_MODES[mode]}"
        elif mode in _NEEDS_FILE and not self._has_file():
            return (
                "Filename.BaseFilename and Filename.Path must both be specified before "
                f"{_NEEDS_FILE[mode]} can occur"
            )
        else:
            self.board.start()
        self._mode = mode
        return ""

    def _has_file(self) -> bool:
        names = ("Filename.Path", "Filename.BaseFilename")
        return all(self.board.parameters.text(name) for name in names)

    # -- actions

    def _execute(self, action: str) -> str:
        action = action.lower()
        if action in _STOPPED_ONLY and self.board.is_running:
            return f"{_STOPPED_ONLY[action]} cannot be executed while the board is running"
        match action:
            case "connecttcpwaveformdataoutput":
                self._data_ports["waveform"].listen()
            case "connecttcpspikedataoutput":
                self._data_ports["spike"].listen()
            case "disconnecttcpwaveformdataoutput":
                self._data_ports["waveform"].disconnect()
            case "disconnecttcpspikedataoutput":
                self._data_ports["spike"].disconnect()
            case "clearalldataoutputs":
                self.board.clear_outputs()
            case "uploadstimparameters":
                return self._begin_upload(None)
            case "setspikedetectionthresholds":
                self.board.measure_thresholds()
            case _ if action not in _STOPPED_ONLY and action != "saveimpedance":
                return "Unrecognized action"
        return ""

    def _execute_with(self, action: str, argument: str) -> str:
        key = _KEYS.get(argument.lower())
        match action.lower():
            case "manualstimtriggeron":
                self._press(key)
            case "manualstimtriggeroff":
                self._release(key)
            case "manualstimtriggerpulse":
                self._press(key)
                self._release(key)
            case "uploadstimparameters":
                channel = self._channel_of.get(argument.lower())
                return "" if channel is None else self._begin_upload(channel)
            case _:
                return "Unrecognized action"
        return ""

    def _press(self, key: str | None) -> None:
        if key is not None:
            self.board.press(key)

    def _release(self, key: str | None) -> None:
        if key is not None:
            self.board.release(key)

    def _begin_upload(self, channel: int | None) -> str:
        if self._upload is not None:
            return _UPLOAD_IS_BUSY
        board = self.board
        if channel is None:
            programs = programs_from(board.channels, board.sample_rate_hz, board.step_a)
            length_s = self._upload_s
        else:
            program = program_from(board.channels[channel], board.sample_rate_hz, board.step_a)
            programs = {} if program is None else {channel: program}
            length_s = self._upload_s / 10
        done_ns = self._clock_ns() + round((length_s + self.late_upload_s) * 1e9)
        self._upload = Upload(done_ns, channel, programs)
        board.parameters.put("UploadInProgress", "True")
        return ""

    def _note(self, text: str) -> str:
        if self._mode != "record":
            return "LiveNotes cannot be added unless the board is recording"
        self.live_notes.append(text)
        return ""


def _set_status(proper: str, port: DataPort, value: str) -> str:
    match value:
        case "pending":
            port.listen()
        case "disconnected":
            port.disconnect()
        case _:
            return (
                f"Invalid value for {proper}Socket.Status command. "
                "Acceptable: Disconnected;Pending;"
            )
    return ""
