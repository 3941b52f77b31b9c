"""RHX's `get` and `set`: addresses of parameters, restrictions, and the texts of both.

`set` answers nothing on success. The run mode is not here: setting it does something.
"""

from typing import Protocol

from mocks.rhx_board import RhxBoard
from mocks.rhx_parameters import Parameter, ParameterSet, WhenSettable, port_parameters


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


class GetSet:
    """Finds parameters by address and reads and writes them.

    An address is `Name`, `A.Name` for a port or `A-010.Name` for a channel, in any case.
    """

    def __init__(self, board: RhxBoard, data_ports: dict[str, DataPort]) -> None:
        self._board = board
        self._data_ports = data_ports
        self._channel_of = {name.lower(): i for i, name in enumerate(board.names)}
        letters = [name[0].lower() for name in board.names]
        self._ports = {a: ParameterSet(port_parameters(letters.count(a))) for a in set(letters)}

    def _find(self, name: str) -> tuple[ParameterSet, Parameter] | None:
        owner, _, rest = name.lower().partition(".")
        groups: list[tuple[ParameterSet, str]] = [(self._board.parameters, name)]
        if owner in self._channel_of:
            groups.append((self._board.channels[self._channel_of[owner]], rest))
        if owner in self._ports:
            groups.append((self._ports[owner], rest))
        for group, key in groups:
            if (parameter := group.find(key)) is not None:
                return group, parameter
        return None

    def get(self, name: str) -> str:
        """Return the reply to a `get`."""
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
                return f"Return: RunMode {self._board.mode.capitalize()}"
            case "currenttimestamp":
                return f"Return: {self._last_timestamp()}"
            case "currenttimeseconds":
                last = self._last_timestamp()
                return f"Return: {last / self._board.sample_rate_hz if last >= 0 else -1:g}"
            case "actualimpedancefreqhertz":
                return f"Return: ActualImpedanceFreqHertz {self._board.impedance_hz():g}"
            case "impedancefreqvalid":
                return f"Return: ImpedanceFreqValid {self._board.impedance_hz() > 0}"
        return self._get_data_port(name)

    def _last_timestamp(self) -> int:
        return self._board.next_timestamp - 1 if self._board.is_running else -1

    def _get_data_port(self, name: str) -> str | None:
        for kind, port in self._data_ports.items():
            proper = f"TCP{kind.capitalize()}Data"
            match _after(f"tcp{kind}data", name):
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

    def set(self, name: str, value: str) -> str:
        """Set a parameter; return an error text, or nothing."""
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
        self._board.note_changed_outputs()
        return ""

    def _is_restricted(self, when: WhenSettable) -> bool:
        match when:
            case WhenSettable.NEVER:
                return True
            case WhenSettable.STOPPED:
                return self._board.is_running
            case WhenSettable.NOT_RECORDING:
                return self._board.mode in ("record", "trigger")
            case WhenSettable.ALWAYS:
                return False

    def _set_data_port(self, name: str, value: str) -> str | None:
        for kind, port in self._data_ports.items():
            proper = f"TCP{kind.capitalize()}Data"
            match _after(f"tcp{kind}data", name):
                case "outputhost" | "outputport" as end if self._board.is_running:
                    what = end.removeprefix("output").capitalize()
                    return f"{proper}Output{what} {WhenSettable.STOPPED.value}"
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


def _after(prefix: str, name: str) -> str:
    return name.removeprefix(prefix) if name.startswith(prefix) else ""


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
