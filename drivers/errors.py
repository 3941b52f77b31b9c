"""What can go wrong between a driver and its instrument, named by whose fault it is."""


class InstrumentError(Exception):
    """Any failure of an instrument or of the way to it."""


class TransportError(InstrumentError):
    """The pipe is gone: port unplugged, connection closed or refused."""


class InstrumentTimeoutError(InstrumentError):
    """No answer in time."""


class InstrumentProtocolError(InstrumentError):
    """Bytes or values that the manual forbids."""


class InstrumentRefusedError(InstrumentError):
    """The instrument itself said no; the message carries its words."""


class SafetyLimitError(InstrumentError):
    """We said no, before a byte left: a value outside the limits, or no valid permit."""
