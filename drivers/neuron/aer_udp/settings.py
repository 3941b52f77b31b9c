"""Where a neuron chip's host is, and which of its neurons are ours."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AerUdpSettings:
    """Addresses and neurons. Port 0 of ours takes any free one (`AerUdp.local_address`)."""

    listen_host: str
    listen_port: int
    chip_host: str
    chip_port: int
    neurons: tuple[int, ...]
    """Ids on the chip that may be driven and whose spikes are taken."""


@dataclass(frozen=True, slots=True)
class AerUdpCounters:
    """Counts since `open`. Every datagram received is in exactly one of the first five."""

    n_spikes: int = 0
    n_wrong_length: int = 0
    n_wrong_address: int = 0
    """From a host that is not the chip's."""
    n_wrong_sender: int = 0
    """Of a sender code that is not `A`."""
    n_unknown_neuron: int = 0
    n_lost_in_host: int = 0
    """Reached this host and were dropped by its kernel because nobody read in time (Linux only;
    known when the next datagram comes). What was lost on the way is known to nobody."""
    n_driven: int = 0

    @property
    def n_refused(self) -> int:
        """Get how many datagrams were dropped for what they were."""
        return (
            self.n_wrong_length + self.n_wrong_address + self.n_wrong_sender + self.n_unknown_neuron
        )
