"""The emergency stop in the running chain: pressed at one end, obeyed at the other."""

from pathlib import Path

import chain_rig as rig


def test_stop_at_a_leaf_reaches_the_other_leaf_through_the_hub(tmp_path: Path) -> None:
    with rig.running_chain(tmp_path) as sites:

        def gate(name: str) -> dict[str, str]:
            return sites[name].call("status")["gate"]

        answer = sites["zurich"].call("stop", who="test")
        assert answer["is_safe"]
        for name in sites:
            rig.until(lambda n=name: gate(n)["state"] == "tripped", f"{name} tripped")
        assert "emergency stop at site zurich" in gate("southampton")["reason"]
        assert "emergency stop at site southampton" in gate("padova")["reason"]
        # Acknowledged at both ends, it does not come back from the hub, which still stands.
        for name in ("zurich", "padova"):
            sites[name].call("acknowledge", who="test")
        n_heard = [link["n_frames_received"] for link in links(sites["padova"])]
        rig.until(
            lambda: links(sites["padova"])[0]["n_frames_received"] > n_heard[0] + 3, "heartbeats"
        )
        assert gate("zurich")["state"] == gate("padova")["state"] == "disarmed"
        assert gate("southampton")["state"] == "tripped"


def links(site: rig.RunningSite) -> list[dict[str, int]]:
    return site.call("status")["links"]
