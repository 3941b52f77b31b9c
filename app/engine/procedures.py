"""What consoles may ask of the bench: its face to the engine; who does it is composed elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from app.core.worker import Worker


class Procedures(Protocol):
    """Runs procedures on the instruments of an engine. Called from the console thread.

    `start`, `fit` and `facts` raise `CommandRefusedError`.
    """

    def start(
        self, who: str, reason: str, given: Mapping[str, object], *, is_operator: bool
    ) -> dict[str, Any]:
        """Begin a procedure; return its number and folder."""

    def abort(self, who: str) -> int:
        """Ask every running procedure to end; return how many there are."""

    def is_pulsing(self, procedure: str) -> bool:
        """Say whether a procedure moves devices and so needs an armed site."""

    def fit(self, number: int, who: str) -> dict[str, Any]:
        """Begin to fit the switching model to what a procedure of this session measured."""

    def facts(self, unit: str, device: str) -> dict[str, Any]:
        """Return what a device's limits allow and what its unit can do."""

    def page(self, after: int) -> dict[str, Any]:
        """Return devices as the array view knows them, from number `after` on, and how many."""

    def status(self) -> list[dict[str, Any]]:
        """Return what runs, and how far it is."""

    def workers(self) -> Sequence[Worker]:
        """Return what runs beside the instruments' owners, to be ended with them."""

    def close(self) -> None:
        """Keep what is known of the devices."""
