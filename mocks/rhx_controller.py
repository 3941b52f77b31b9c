"""What RHX does with commands: texts in, replies out; run modes, uploads, restrictions.

Success is silent, replies have no terminator. Warnings about inconsistent stimulation parameters
stay in RHX's window, so there are none here. No sockets, no waiting: `poll` moves time on.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mocks.rhx_board import RhxBoard
from mocks.rhx_commands import Command, Execute, Get, LiveNote, Set, parse
from mocks.rhx_get_set import DataPort, GetSet
from mocks.rhx_impedance import Impedance, impedance_file, write_silently
from mocks.rhx_stim import StimProgram, program_from, programs_from

_KEYS = {f"f{i}": f"keypressf{i}" for i in range(1, 9)}
_MODES = {"run": "running", "record": "recording", "trigger": "trigger"}
_NEEDS_FILE = {"record": "recording", "trigger": "triggered recording"}
_STOPPED_ONLY = {
    "measureimpedance": "MeasureImpedance",
    "saveimpedance": "SaveImpedance",
    "rescanports": "RescanPorts",
    "loadsettingsfile": "LoadSettingsFile",
    "uploadampsettlesettings": "UploadAmpSettleSettings",
    "uploadchargerecoverysettings": "UploadChargeRecoverySettings",
    "uploadstimparameters": "UploadStimParameters",
    "uploadbandwidthsettings": "UploadBandwidthSettings",
    "setspikedetectionthresholds": "SetSpikeDetectionThresholds",
}
_UPLOAD_IS_BUSY = "Error - Another upload cannot be started until the previous upload completes"


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
        impedance_s: float = 0.5,
    ) -> None:
        self.board = board
        self.late_upload_s = 0.0
        self.n_bare_sets = 0
        self.live_notes: list[str] = []
        self._clock_ns = clock_ns
        self._upload_s = upload_s
        self._upload: Upload | None = None
        self._impedance_s = impedance_s
        self._measuring_until_ns: int | None = None
        self._impedances: list[Impedance] = []
        self._behind_measurement: list[Command] = []
        self._deferred: list[list[Command]] = []
        self._channel_of = {name.lower(): i for i, name in enumerate(board.names)}
        self._get_set = GetSet(board, {"waveform": waveform, "spike": spike})
        self._actions: dict[str, Callable[[], None]] = {
            "connecttcpwaveformdataoutput": waveform.listen,
            "connecttcpspikedataoutput": spike.listen,
            "disconnecttcpwaveformdataoutput": waveform.disconnect,
            "disconnecttcpspikedataoutput": spike.disconnect,
            "clearalldataoutputs": board.clear_outputs,
            "setspikedetectionthresholds": board.measure_thresholds,
            "measureimpedance": self._begin_measurement,
            "saveimpedance": self._save_impedances,
        }

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

    @property
    def due_ns(self) -> int | None:
        """Return when `poll` has something to reply; None: not by itself."""
        return self._measuring_until_ns

    def poll(self) -> list[str]:
        """Let time act; return the replies that a measurement has held up."""
        self._poll_upload()
        until_ns = self._measuring_until_ns
        if until_ns is None or self._clock_ns() < until_ns:
            return []
        self._measuring_until_ns = None
        self._impedances = self.board.electrodes.at(self.board.impedance_hz())
        self.board.parameters.put("ImpedancesHaveBeenMeasured", "True")
        behind, self._behind_measurement = self._behind_measurement, []
        replies: list[str] = []
        self._execute_batch(behind, replies)
        return replies

    def _poll_upload(self) -> None:
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
            self._poll_upload()
            was_measuring = self._measuring_until_ns is not None
            reply = self._execute_one(command)
            if reply:
                replies.append(reply)
            if self._measuring_until_ns is not None and not was_measuring:
                # RHX measures inside the handler; texts that come meanwhile are served at once.
                self._behind_measurement = commands[i + 1 :]
                return
            if self.board.is_running and not was_running:
                self._deferred.append(commands[i + 1 :])
                return

    def _execute_one(self, command: Command) -> str:
        match command:
            case Get(parameter):
                return self._get_set.get(parameter)
            case Set(parameter, value) if parameter.lower() == "runmode":
                return self._set_run_mode(value.lower())
            case Set(parameter, value):
                return self._get_set.set(parameter, value)
            case Execute(action, argument):
                return self._execute(action, argument)
            case LiveNote(text):
                return self._note(text)
        self.n_bare_sets += command.is_bare_set
        return command.error

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
            self.board.start(mode)
        return ""

    def _has_file(self) -> bool:
        names = ("Filename.Path", "Filename.BaseFilename")
        return all(self.board.parameters.text(name) for name in names)

    # -- actions

    def _execute(self, action: str, argument: str | None) -> str:
        if argument is not None:
            return self._execute_with(action, argument)
        action = action.lower()
        if action in _STOPPED_ONLY and self.board.is_running:
            return f"{_STOPPED_ONLY[action]} cannot be executed while the board is running"
        if action == "uploadstimparameters":
            return self._begin_upload(None)
        if action in self._actions:
            self._actions[action]()
        elif action not in _STOPPED_ONLY:
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

    def _begin_measurement(self) -> None:
        if self.board.impedance_hz() > 0:
            self._measuring_until_ns = self._clock_ns() + round(self._impedance_s * 1e9)

    def _save_impedances(self) -> None:
        board = self.board
        if self._impedances:
            text = impedance_file(board.names, self._impedances, board.impedance_hz())
            words = board.parameters.text
            write_silently(
                words("ImpedanceFilename.Path"), words("ImpedanceFilename.BaseFilename"), text
            )

    def _note(self, text: str) -> str:
        if self.board.mode != "record":
            return "LiveNotes cannot be added unless the board is recording"
        self.live_notes.append(text)
        return ""
