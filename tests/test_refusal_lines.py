"""Refused events: said at once, counted whole, and never a line for each."""

from app.engine.refusal_lines import MAX_REASONS, WINDOW_NS, RefusalLines

MS = 1_000_000


def lines() -> tuple[RefusalLines, list[tuple[str, str]]]:
    said: list[tuple[str, str]] = []
    return RefusalLines(lambda site, line: said.append((site, line)), "PSPs"), said


def test_a_flood_is_a_line_a_second_that_counts_all_of_it() -> None:
    refusals, said = lines()
    for number in range(5001):
        refusals.refused("padova", "too many", 2, number * MS)
    assert said[0] == ("padova", "too many (2 PSPs)")
    assert len(said) == 11, "one for each second's first, one for what the second before had more"
    assert said[1] == ("padova", "too many (1998 more PSPs)")
    counted = sum(int(line.split("(")[1].split()[0]) for _, line in said)
    assert counted == 2 * 5001


def test_another_reason_and_another_site_are_told_at_once() -> None:
    refusals, said = lines()
    refusals.refused("padova", "too many", 1, 0)
    refusals.refused("padova", "no such synapse", 3, 1)
    refusals.refused("zurich", "too many", 4, 2)
    assert said == [
        ("padova", "too many (1 PSPs)"),
        ("padova", "no such synapse (3 PSPs)"),
        ("zurich", "too many (4 PSPs)"),
    ]


def test_a_peer_that_thinks_of_ever_new_reasons_fills_no_memory() -> None:
    refusals, said = lines()
    for number in range(10_000):
        refusals.refused("padova", f"synapse {number}", 1, number)
    assert len(said) == MAX_REASONS
    assert len(refusals._windows["padova"].n_untold) == MAX_REASONS + 1
    refusals.refused("padova", "synapse 0", 1, WINDOW_NS)
    assert said[MAX_REASONS:] == [
        ("padova", f"other reasons ({10_000 - MAX_REASONS} more PSPs)"),
        ("padova", "synapse 0 (1 PSPs)"),
    ]
