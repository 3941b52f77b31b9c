"""Damaged and hostile sessions opened for playback and reading: a value, or one refusal.

500 mutations of a small session by default; SPIKEBRIDGE_DAMAGED=10000 asks for more, and
SPIKEBRIDGE_DAMAGED_SEED for others. Each may cost 2 s of processor time and 200 MB.
"""

import json
import os
import random
import resource
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from small_session import make_session

from app.config.load import ConfigError
from app.recording.errors import RecordingError
from app.recording.reader import open_session
from app.recording.rows import NoteRow
from app.recording.schema import TABLES
from app.sessions.facts import facts
from drivers.errors import InstrumentError
from drivers.mea.playback.driver import Playback

N_DAMAGED = int(os.environ.get("SPIKEBRIDGE_DAMAGED", "500"))
SEED = int(os.environ.get("SPIKEBRIDGE_DAMAGED_SEED", "1"))
MAX_CPU_S = 2.0
MAX_BYTES = 200 * 2**20
STREAM = "Record Node 101/experiment1/recording1/continuous/MEA-100.raw"
OEBIN = "Record Node 101/experiment1/recording1/structure.oebin"

Damage = Callable[[Path, random.Random], None]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_session(tmp_path_factory.mktemp("session"), seconds=0.1)


def use(folder: Path) -> None:
    """Do what playback and reading do with a session."""
    player = Playback("mea1", folder, is_looping=False, clock_ns=lambda: next(ticks))
    ticks = iter(range(0, 10**15, 10**9))
    try:
        player.open()
        player.start()
        for _ in range(3):
            block = player.read_block(0.0)
            assert block is None or block.samples.dtype == np.int16
    finally:
        player.close()
    with open_session(folder) as reader:
        for name in TABLES.values():
            reader.table(name)
        reader.spikes(0, 10**15)
        reader.rows(NoteRow)
        for raw in reader.raw():
            raw.samples[:100].sum()
        facts(reader)


def some_file(folder: Path, rng: random.Random) -> Path:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return rng.choice(files)


def remove(folder: Path, rng: random.Random) -> None:
    some_file(folder, rng).unlink()


def empty(folder: Path, rng: random.Random) -> None:
    some_file(folder, rng).write_bytes(b"")


def cut(folder: Path, rng: random.Random) -> None:
    path = some_file(folder, rng)
    os.truncate(path, rng.randrange(path.stat().st_size + 1))


def grow(folder: Path, rng: random.Random) -> None:
    with some_file(folder, rng).open("ab") as file:
        file.write(rng.randbytes(rng.choice((1, 7, 4096))))


def flip(folder: Path, rng: random.Random) -> None:
    path = some_file(folder, rng)
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 3, 30))):
        if data:
            data[rng.randrange(min(len(data), rng.choice((64, 256, 10**9))))] ^= 1 << rng.randrange(
                8
            )
    path.write_bytes(data)


def garbage(folder: Path, rng: random.Random) -> None:
    path = some_file(folder, rng)
    path.write_bytes(rng.randbytes(rng.choice((1, 100, 5000))))


def swap(folder: Path, rng: random.Random) -> None:
    one, other = some_file(folder, rng), some_file(folder, rng)
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


def to_folder(folder: Path, rng: random.Random) -> None:
    path = some_file(folder, rng)
    path.unlink()
    path.mkdir()


def link_out(folder: Path, rng: random.Random) -> None:
    path = some_file(folder, rng)
    path.unlink()
    path.symlink_to(rng.choice(("/dev/zero", "/etc/hostname", path.name, "/nowhere")))


def odd_oebin(folder: Path, rng: random.Random) -> None:
    path = folder / OEBIN
    tree = json.loads(path.read_text())
    stream = tree["continuous"][0]
    key = rng.choice(("sample_rate", "bit_volts", "folder_name", "channels", "num_channels"))
    value = rng.choice(
        (
            0,
            -1,
            1e308,
            float("nan"),
            float("inf"),
            None,
            "x",
            True,
            [],
            {},
            "../../..",
            10**30,
            "\0",
        )
    )
    if key == "bit_volts":
        rng.choice(stream["channels"])["bit_volts"] = value
    elif key == "channels" and rng.random() < 0.5:
        stream["channels"] = stream["channels"][:1] * rng.choice((2, 1000, 100_000))
        stream["num_channels"] = len(stream["channels"])
    else:
        stream[key] = value
    path.write_text(json.dumps(tree))


def deep_json(folder: Path, rng: random.Random) -> None:
    (folder / rng.choice((OEBIN, "session.json"))).write_text("[" * 100_000)


def odd_npy(folder: Path, rng: random.Random) -> None:
    path = folder / STREAM / "sample_numbers.npy"
    data = path.read_bytes()
    descr = rng.choice(("'<i8'", "'>i8'", "'|O'", "'<f8'", "[('a', '<i8')]", "'<U9'"))
    order = rng.choice(("True", "False"))
    n_rows = rng.choice((0, 1, 7, 10**12, 10**18, 10**30))
    shape = rng.choice((f"({n_rows},)", f"({n_rows}, 2)", "()", f"(-{n_rows},)"))
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.encode().ljust(117) + b"\n"
    path.write_bytes(header + data[128:])


def hostile_sqlite(folder: Path, rng: random.Random) -> None:
    change = rng.choice(
        (
            "DROP TABLE spikes; CREATE VIEW spikes AS SELECT * FROM notes",
            "DROP TABLE notes; CREATE VIEW notes AS WITH RECURSIVE n(time_ns, who, text) AS "
            "(SELECT 1, 'a', 'b' UNION ALL SELECT time_ns + 1, who, text FROM n) SELECT * FROM n",
            "DROP TABLE spikes",
            "ALTER TABLE notes ADD COLUMN more TEXT",
            "PRAGMA user_version = 99",
            "PRAGMA application_id = 7",
            "DROP TABLE gaps; CREATE TABLE gaps (time_ns, instrument, sample_index, n_lost)",
            "DROP TABLE device_reads; CREATE TABLE device_reads AS SELECT 'x' time_ns, "
            "1 instrument, zeroblob(9) wordline, NULL bitline, 'r' resistance_ohm, "
            "2 read_voltage_v, 3 why",
            "UPDATE inputs SET body = zeroblob(1000000)",
        )
    )
    with closing(sqlite3.connect(folder / "events.sqlite")) as database:
        database.executescript(change)


def foreign_wal(folder: Path, rng: random.Random) -> None:
    (folder / "events.sqlite-wal").write_bytes(rng.randbytes(rng.choice((10, 5000, 100_000))))


def odd_info(folder: Path, rng: random.Random) -> None:
    path = folder / "session.json"
    tree = json.loads(path.read_text())
    key = rng.choice(sorted(tree))
    tree[key] = rng.choice((None, 0, -1, "x", [], {}, "\ud800", 1e308, {"cultures": 1}, [[]]))
    path.write_text(json.dumps(tree))


DAMAGES: tuple[Damage, ...] = (
    remove, empty, cut, cut, grow, flip, flip, flip, garbage, swap, to_folder, link_out, odd_oebin,
    odd_oebin, deep_json, odd_npy, odd_npy, hostile_sqlite, hostile_sqlite, foreign_wal, odd_info,
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*memmap.*")
def test_a_damaged_session_is_a_value_or_one_refusal(session: Path, tmp_path: Path) -> None:
    use(session)
    n_refused = 0
    before_bytes = peak_bytes()
    for number in range(N_DAMAGED):
        rng = random.Random(SEED * 1_000_000 + number)
        damage = rng.choice(DAMAGES)
        folder = tmp_path / session.name
        shutil.copytree(session, folder)
        damage(folder, rng)
        began_s = time.process_time()
        try:
            use(folder)
        except (InstrumentError, RecordingError, ConfigError) as exc:
            n_refused += bool(str(exc))
        except Exception as exc:
            raise AssertionError(f"seed {SEED}, number {number}, {damage.__name__}") from exc
        cpu_s = time.process_time() - began_s
        assert cpu_s <= MAX_CPU_S, f"number {number}, {damage.__name__}: {cpu_s:.1f} s"
        grown = peak_bytes() - before_bytes
        assert grown <= MAX_BYTES, f"number {number}, {damage.__name__}: {grown / 2**20:.0f} MB"
        shutil.rmtree(folder)
    assert 0.3 * N_DAMAGED < n_refused < N_DAMAGED, "most damage matters, some does not"


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
