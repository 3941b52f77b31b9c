"""Two sites that excite each other: positive feedback meets the limit at both ends, and is told."""

import heapq
import random

from test_link_rights import Book, S, allowed, chain, psps, reception

from app.engine.peer_rights import psp_rights
from app.engine.synapse_outputs import SynapseOutputs
from app.safety.rates import last_second
from app.synapse.network import PspsOut

MS = 1_000_000
SENDER_LIMIT, RECEIVER_LIMIT = 40, 25
GAIN = 2
"""PSPs that come back for each one that acts: without a limit 2^100 of them after a second."""


def test_feedback_stays_at_the_lower_limit_and_every_psp_is_accounted_for() -> None:
    experiment, sites = chain()
    sender = allowed(sites["southampton"], "padova", max_psps_per_s=SENDER_LIMIT)
    receiver = allowed(sites["padova"], "southampton", max_psps_per_s=RECEIVER_LIMIT)
    made, jobs, _ = reception(receiver, experiment)
    book, n_sent, rng = Book(), 0, random.Random(1)

    def send(_site: str, records, now_ns: int) -> None:
        nonlocal n_sent
        n_sent += len(records)
        made.take("southampton", records, age_bound_ns=0, received_ns=now_ns)

    outputs = SynapseOutputs(
        site="southampton", ledger=book, reception=None, send_psps=send, submit_pulse={},
        rights=psp_rights(sender.peers),
    )  # fmt: skip
    lately = last_second()
    waiting, n_wanted, most = [S], 0, 0
    while waiting and (now_ns := heapq.heappop(waiting)) < 6 * S:
        n_before = len(jobs)
        outputs.take(PspsOut("padova", psps()), now_ns)
        n_wanted += 1
        assert n_wanted < 10_000, "it explodes"
        if len(jobs) == n_before:
            continue
        lately.add(now_ns)
        most = max(most, lately.total(now_ns))
        for _ in range(GAIN):
            # Some neurons answer at once, some after seconds: or it would die out at the limit.
            heapq.heappush(waiting, now_ns + rng.choice((10 * MS, rng.randint(0, 2 * S))))
    assert most == RECEIVER_LIMIT
    assert len(jobs) > 3 * RECEIVER_LIMIT, "it goes on, at the limit"
    n_withheld = len(book.of("withheld_psp"))
    assert n_wanted == n_sent + n_withheld
    assert n_sent == len(jobs) + made.n_unusable
    assert made.n_unusable_of["southampton"] == made.n_unusable > 0
