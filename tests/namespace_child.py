"""One site in a network and a time namespace of its own. No tests in here.

Run with a line of JSON on standard input: where the keys are, whom to dial, which interface is
ours. It says on standard output what its link says, as lines of JSON, until its input ends.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from app.bridge.bridge import Bridge
from app.bridge.events import GapDeclared, LinkEvent, OffsetKnown, SpikesReceived, StateChanged
from app.bridge.peers import PeerAddress
from app.bridge.settings import LocalSite
from app.bridge.tls import TlsIdentity
from app.core.clock import clock_identity, monotonic_ns
from app.core.spikes import SPIKE_RECORD, SpikeBatch


def say(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def tell(event: LinkEvent) -> None:
    match event:
        case StateChanged():
            say(what="state", state=event.state.value)
        case OffsetKnown():
            say(what="offset", offset_ns=event.offset_ns, uncertainty_ns=event.uncertainty_ns)
        case GapDeclared():
            say(what="gap")
        case SpikesReceived():
            for record in event.batch.records:
                say(
                    what="spike",
                    number=int(record["sample_index"]),
                    age_bound_ns=event.age_bound_ns,
                    is_resend=event.is_resend,
                )


def main() -> None:
    order = json.loads(sys.stdin.readline())
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "addr", "add", order["address"], "dev", order["interface"]],
        ["ip", "link", "set", order["interface"], "up"],
    ):
        subprocess.run(command, check=True)
    keys = Path(order["keys"])
    say(what="clock", identity=clock_identity(), now_ns=monotonic_ns())
    bridge = Bridge(
        LocalSite("b", "b" * 32, "", clock_identity(), ()),
        TlsIdentity(keys / "b.key", keys / "b.crt", {"a": keys / "a.crt"}),
        (PeerAddress("a", order["host"], order["port"]),),
        listen=None,
        last_seqs={},
        on_event=tell,
        clock_ns=monotonic_ns,
        on_failure=lambda name, exc: say(what="failure", text=f"{name}: {exc}"),
    )
    bridge.start()
    for line in sys.stdin:
        for number in range(int(line)):
            records = np.zeros(1, SPIKE_RECORD)
            records["sample_index"] = number
            now_ns = monotonic_ns()
            bridge.send_spikes("a", SpikeBatch(0, records, now_ns, now_ns))
            time.sleep(0.001)
    bridge.request_stop()
    bridge.join(5)


if __name__ == "__main__":
    main()
