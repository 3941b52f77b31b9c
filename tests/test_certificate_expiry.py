"""A certificate that ends is in sight 60 days ahead: in words, and in a running engine's log."""

import logging

import pytest

from app.bridge.expiry import expiry_warning
from app.engine.expiry_watch import INTERVAL_NS, ExpiryWatch


@pytest.mark.parametrize(
    ("left_days", "words"),
    [
        (60.01, ""),
        (60.0, "expires in 60 days"),
        (1.4, "expires in 1 day;"),
        (0.9, "expires in less than a day"),
        (0.0, "has expired"),
        (-3.0, "has expired"),
    ],
)
def test_what_is_said_of_an_end(left_days: float, words: str) -> None:
    sentence = expiry_warning("the certificate of padova", left_days)
    assert bool(sentence) == bool(words)
    assert words in sentence


def test_an_engine_warns_once_a_day_of_every_certificate_that_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_ns = 5
    ends = {
        "certificate_days_left": 61.0,
        "links": [
            {"site": "padova", "certificate_days_left": 30.0},
            {"site": "zurich", "certificate_days_left": 3000.0},
        ],
    }
    watch = ExpiryWatch(lambda: ends, lambda: now_ns)
    with caplog.at_level(logging.WARNING):
        watch.look()
        now_ns += INTERVAL_NS - 1
        watch.look()
        assert [r.message.split(";")[0] for r in caplog.records] == [
            "the certificate of padova expires in 30 days"
        ]
        now_ns += 1
        ends["certificate_days_left"] = 59.9
        watch.look()
    assert [r.message.split(" expires")[0] for r in caplog.records[1:]] == [
        "our own certificate",
        "the certificate of padova",
    ]
