"""Who decides for the synapses: decide, hand on what came out, log the input; one at a time."""

import threading
from collections.abc import Callable

from app.core.clock import ClockNs
from app.core.inbox import Inbox, Overflow
from app.core.input_log import InputLog
from app.core.worker import OnFailure, Worker
from app.synapse.inputs import Input, Tick, apply, encode
from app.synapse.network import Output, SpikeArrival, SynapseNetwork, SynapseView

INBOX_CAPACITY = 100_000
TICK_S = 0.05
FEW_EVENTS = 16
"""So many are decided upon where they arrive; more would keep that thread from its own work."""


class NetworkWorker(Worker):
    """Owns a `SynapseNetwork`. Any thread may call `submit` and `decide`.

    Whoever decides holds `_turn`. `on_output(output, now_ns)` is called from the deciding thread,
    one decision after the other, and must not wait.
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
        self._turn = threading.Lock()
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

    def decide(self, item: Input) -> None:
        """Decide upon a small input now, on the caller's thread, which saves a change of threads.

        What is large, would have to wait, or would overtake what waits is queued as by `submit`.
        A failure is this worker's, not the caller's.
        """
        if not _is_small(item) or not self._turn.acquire(blocking=False):
            self.submit(item)
            return
        try:
            if len(self._inbox) or self.has_foreign_failure:
                self.submit(item)
            else:
                self._decide(item)
        except Exception as exc:  # noqa: BLE001 - told by this worker's thread
            self.fail_with(exc)
        finally:
            self._turn.release()

    def step(self) -> None:
        """Decide upon what waits, oldest first."""
        self._inbox.wait(TICK_S)
        with self._turn:
            for item in self._inbox.take_all(0.0):
                self._decide(item)
            now_ns = self._clock_ns()
            if now_ns - self._last_tick_ns >= TICK_S * 1e9:
                self._last_tick_ns = now_ns
                self._tick(now_ns)
                self._views = self._network.views()

    def _decide(self, item: Input) -> None:
        """Decide, then log: whoever waits for the outputs need not wait for the record as well."""
        now_ns = self._clock_ns()
        self._hand_on(apply(self._network, item, now_ns), now_ns)
        self._input_log.record(*encode(item), now_ns)

    def _tick(self, now_ns: int) -> None:
        """Log only a tick that decided something: one that did not leaves no trace to repeat."""
        outputs = apply(self._network, Tick(), now_ns)
        if outputs:
            self._hand_on(outputs, now_ns)
            self._input_log.record(*encode(Tick()), now_ns)

    def _hand_on(self, outputs: list[Output], now_ns: int) -> None:
        for output in outputs:
            self._on_output(output, now_ns)


def _is_small(item: Input) -> bool:
    return not isinstance(item, SpikeArrival) or len(item.records) <= FEW_EVENTS
