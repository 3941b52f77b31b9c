"""MQTT for the comparison of losses, where it is installed: mosquitto as the broker, paho's client.

Set up as somebody would who must not lose anything: quality of service 1 and a persistent session
on both sides, and the broker as it comes but for its address.
"""

import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.core.spikes import SpikeRecords

TOPIC = "spikes"
LIMIT_S = 10.0
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


def why_not() -> str:
    """Return what is missing, or nothing."""
    missing = [] if shutil.which("mosquitto", path=_PATH) else ["mosquitto"]
    try:
        has_client = importlib.util.find_spec("paho.mqtt.client") is not None
    except ModuleNotFoundError:
        has_client = False
    return ", ".join(missing if has_client else [*missing, "paho-mqtt"])


class Broker:
    """mosquitto on a port of loopback."""

    def __init__(self, folder: Path, port: int) -> None:
        config = folder / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        program = shutil.which("mosquitto", path=_PATH)
        self._process = subprocess.Popen(
            [str(program), "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(LIMIT_S)


class Sender:
    """Publishes each batch at quality of service 1."""

    def __init__(self, _folder: Path, port: int) -> None:
        self._client = connected("sender", port)

    def send(self, records: SpikeRecords) -> None:
        """Hand over a batch; the client's thread sends it, again if need be."""
        self._client.publish(TOPIC, records.tobytes(), qos=1)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


def subscribe(port: int, take: Callable[[bytes], None]) -> Any:
    """Return a client that hands on each message; it has the name of whoever it replaces."""
    return connected("consumer", port, take)


def connected(name: str, port: int, take: Callable[[bytes], None] | None = None) -> Any:
    """Return a client with a persistent session, its thread running. Raises TimeoutError."""
    from paho.mqtt import client as paho

    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
    client.max_inflight_messages_set(1000)
    client.reconnect_delay_set(1, 2)
    if take is not None:
        client.on_message = lambda _client, _data, message: take(message.payload)
        # At each connection: a broker that forgot the session must be told again.
        client.on_connect = lambda *_: client.subscribe(TOPIC, qos=1)
    deadline_s = time.monotonic() + LIMIT_S
    while True:
        try:
            client.connect("127.0.0.1", port, keepalive=5)
        except OSError:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"MQTT: no broker on port {port}") from None
            time.sleep(0.05)
        else:
            client.loop_start()
            return client
