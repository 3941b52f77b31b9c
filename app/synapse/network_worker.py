"""The thread that decides for the synapses: log the input, decide, hand on what came out."""

from collections.abc import Callable

from app.core.clock import ClockNs
from app.core.inbox import Inbox, Overflow
from app.core.input_log import InputLog
from app.core.worker import OnFailure, Worker
from app.synapse.inputs import Input, Tick, apply, encode
from app.synapse.network import Output, SynapseNetwork, SynapseView

INBOX_CAPACITY = 100_000
TICK_S = 0.05


class NetworkWorker(Worker):
    """Owns a `SynapseNetwork`. Any thread may call `submit`.

    `on_output(output, now_ns)` is called from this thread, in the order of decisions, and must
    not wait.
    """

    def __init__(
        self,
        network: SynapseNetwork,
        input_log: InputLog,
        *,
        on_output: Callable[[Output, int], None],
        clock_ns: ClockNs,
        on_failure: OnFailure,
    ) -> None:
        super().__init__("synapses", on_failure)
        self._network = network
        self._input_log = input_log
        self._on_output = on_output
        self._clock_ns = clock_ns
        self._inbox: Inbox[Input] = Inbox("synapses", INBOX_CAPACITY, Overflow.FAIL)
        self._last_tick_ns = 0
        self._views: tuple[SynapseView, ...] = network.views()

    @property
    def views(self) -> tuple[SynapseView, ...]:
        """Get the latest snapshot of every synapse; any thread may."""
        return self._views

    def submit(self, item: Input) -> None:
        """Queue an input without waiting. Raises `InboxOverflowError` when full."""
        self._inbox.put(item)

    def step(self) -> None:
        """Decide upon what waits, oldest first."""
        for item in self._inbox.take_all(timeout_s=TICK_S):
            now_ns = self._clock_ns()
            kind, body = encode(item)
            self._input_log.record(kind, body, now_ns)
            self._hand_on(apply(self._network, item, now_ns), now_ns)
        now_ns = self._clock_ns()
        if now_ns - self._last_tick_ns >= TICK_S * 1e9:
            self._last_tick_ns = now_ns
            self._tick(now_ns)
            self._views = self._network.views()

    def _tick(self, now_ns: int) -> None:
        """Log only a tick that decided something: one that did not leaves no trace to repeat."""
        outputs = apply(self._network, Tick(), now_ns)
        if outputs:
            self._input_log.record(*encode(Tick()), now_ns)
            self._hand_on(outputs, now_ns)

    def _hand_on(self, outputs: list[Output], now_ns: int) -> None:
        for output in outputs:
            self._on_output(output, now_ns)
