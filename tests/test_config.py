"""Configuration: what is refused, and that the sentence names file and place."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.check import check_experiment, check_site, check_together
from app.config.experiment import Experiment, experiment_hash
from app.config.load import ConfigError, is_site_file, load_experiment, load_site, parse
from app.config.site import Site
from app.signed_site import load_signed_site

EXAMPLES = Path(__file__).parent.parent / "app" / "demo" / "chain2020"
SITES = ("padova", "southampton", "zurich")


def example_text(name: str) -> str:
    return (EXAMPLES / f"{name}.toml").read_text(encoding="utf-8")


def test_shipped_chain_has_no_conflicts() -> None:
    sites = [load_signed_site(EXAMPLES / f"{name}.toml", is_mock=True).site for name in SITES]
    experiment = load_experiment(EXAMPLES / "experiment.toml")
    assert [c for site in sites for c in check_site(site)] == []
    assert check_experiment(experiment) + check_together(experiment, sites) == []
    assert is_site_file(EXAMPLES / "padova.toml")
    assert not is_site_file(EXAMPLES / "experiment.toml")


def test_a_culture_elsewhere_must_be_the_one_that_lives_there() -> None:
    experiment = load_experiment(EXAMPLES / "experiment.toml")
    home = parse(example_text("padova").encode(), Site, "padova.toml")
    text = example_text("zurich")
    mouse = text.replace("Rattus norvegicus", "Mus musculus")
    away = parse(mouse.encode(), Site, "zurich.toml")
    said = [c for c in check_together(experiment, [home, away]) if "about.culture" in c]
    assert said == [
        "site zurich: [about.culture] has species Mus musculus instead of Rattus norvegicus of the "
        "culture at padova"
    ]
    assert not any("about.culture" in c for c in check_together(experiment, [away]))
    own = parse(text.replace('site = "padova"', 'site = "zurich"').encode(), Site, "zurich.toml")
    assert any("[amplifiers.culture]" in c for c in check_site(own))
    silent = msgspec.structs.replace(
        home, amplifiers=(msgspec.structs.replace(home.amplifiers[0], culture=None),)
    )
    said = check_together(experiment, [silent, away])
    assert any("at padova, which states none" in c for c in said)


def test_a_link_that_a_synapse_needs_and_nobody_has_is_a_conflict() -> None:
    experiment = load_experiment(EXAMPLES / "experiment.toml")
    sites = [load_signed_site(EXAMPLES / f"{name}.toml", is_mock=True).site for name in SITES]
    hub = next(site for site in sites if site.site == "southampton")
    lonely = msgspec.structs.replace(hub, peers=hub.peers[:1])
    (gone,) = [peer.site for peer in hub.peers[1:]]
    said = check_together(experiment, [lonely])
    assert [c for c in said if "[[peers]]" in c] == [
        f"site southampton: synapse {experiment.synapses[0].name} needs a link with {gone}; "
        "add it under [[peers]]"
    ]
    leaf = next(site for site in sites if site.site == gone)
    said = check_together(experiment, [msgspec.structs.replace(leaf, peers=())])
    assert any("needs a link with southampton" in c for c in said)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('name = "mea1"', 'name = "mea1"\nmax_curent_a = 1e-6', "$.amplifiers[0]"),
        ("electrode_area_um2 = 707.0", "electrode_area_um2 = nan", "electrode_area_um2"),
        ("electrode_area_um2 = 707.0", "electrode_area_um2 = inf", "electrode_area_um2"),
        ("electrode_area_um2 = 707.0", "electrode_area_um2 = -1.0", "electrode_area_um2"),
        ("electrode_area_um2 = 707.0", "electrode_area_um2 = true", "electrode_area_um2"),
        ("electrode_area_um2 = 707.0", 'electrode_area_um2 = "3"', "electrode_area_um2"),
        ("electrode_area_um2 = 707.0", "", "electrode_area_um2"),
        ("pattern_id = 1", "pattern_id = 9", "pattern_id"),
        ('site = "padova"', 'site = "../padova"', "$.site"),
        ("schema_version = 1", "schema_version = 2", "$.schema_version"),
        ('driver = "intan_rhx"', 'driver = "intan_rhz"', "driver"),
        ("port = 47001", "port = 70000", "port"),
    ],
)
def test_wrong_value_is_refused_with_its_place(old: str, new: str, place: str) -> None:
    text = example_text("padova")
    assert old in text
    with pytest.raises(ConfigError) as caught:
        parse(text.replace(old, new, 1).encode(), Site, "padova.toml")
    assert place in str(caught.value)
    assert "padova.toml" in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"a = 1\na = 2",
        b"\x00",
        b"x = " + b"[" * 5000,
        b"x = 1" + b"0" * 5000,
        "\ufeffsite = 1".encode(),
        b"schema_version = 1",
    ],
    ids=["empty", "utf16", "duplicate", "nul", "deep", "huge", "bom", "incomplete"],
)
def test_broken_file_is_one_sentence(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse(data, Site, "x.toml")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_struct_or_one_refusal(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse(data, Site, "x.toml")


def test_missing_folder_and_oversized_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_site(tmp_path / "nothing.toml")
    with pytest.raises(ConfigError, match="no such file"):
        load_site(tmp_path)
    big = tmp_path / "big.toml"
    big.write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="larger"):
        load_site(big)


def site_with(name: str, old: str, new: str) -> Site:
    text = example_text(name)
    assert old in text
    return parse(text.replace(old, new, 1).encode(), Site, name)


@pytest.mark.parametrize(
    ("site", "old", "new", "word"),
    [
        ("padova", '["A-018", "B-000"]', '["A-016", "B-000"]', "one parameter set and one key"),
        ("padova", '["A-018", "B-000"]', '["Z-018", "B-000"]', "not in channels"),
        ("padova", 'channel = "A-025"', 'channel = "D-025"', "not in channels"),
        ("padova", "pattern_id = 2", "pattern_id = 1", "two patterns"),
        ("padova", 'site = "southampton"', 'site = "padova"', "own peer"),
        ("padova", "port = 47001", "", "host and port"),
        ("southampton", "wordline = 25", "wordline = 33", "outside the array"),
        ("southampton", "read_voltage_v = 0.5", "read_voltage_v = 0.6", "max_read_v"),
        ("southampton", 'name = "w25b8"', 'name = "w12b21"', "two devices"),
        ("southampton", "window_min_ohm = 4000.0", "window_min_ohm = 9500.0", "window_min_ohm"),
    ],
)
def test_conflict_inside_a_site_is_named(site: str, old: str, new: str, word: str) -> None:
    assert any(word in sentence for sentence in check_site(site_with(site, old, new)))


def experiment_with(old: str, new: str) -> Experiment:
    text = example_text("experiment")
    assert old in text
    return parse(text.replace(old, new, 1).encode(), Experiment, "experiment")


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("pre = 63", "pre = 64", "not in the experiment"),
        ("id = 2\nname", "id = 1\nname", "two synapses have id"),
        ("r_min_ohm = 4000.0", "r_min_ohm = 9000.0", "r_min_ohm"),
        ("ltd_amplitude_v = -1.5", "ltd_amplitude_v = 1.5", "opposite signs"),
        ('device = "w25b8"', 'device = "w12b21"', "two synapses use device"),
        ("neuron = 63", "neuron = 62", "protocol"),
    ],
)
def test_conflict_inside_an_experiment_is_named(old: str, new: str, word: str) -> None:
    assert any(word in sentence for sentence in check_experiment(experiment_with(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("deadline_s = 0.25", "deadline_s = 0.1", "deadline"),
        ('id = 256\nname = "BN"\nsite = "padova"', 'id = 256\nname = "BN"\nsite = "zurich"',
         "does not provide"),
        ('device = "w12b21"', 'device = "w1b1"', "no device"),
    ],
)  # fmt: skip
def test_conflict_between_files_is_named(old: str, new: str, word: str) -> None:
    sites = [load_site(EXAMPLES / f"{name}.toml") for name in SITES]
    sentences = check_together(experiment_with(old, new), sites)
    assert any(word in sentence for sentence in sentences)


def test_hash_is_of_the_meaning_not_of_the_file() -> None:
    text = example_text("experiment")
    one = parse(text.encode(), Experiment, "a")
    same = parse(("# remark\n" + text.replace("1.0", "1.00")).encode(), Experiment, "b")
    other = experiment_with("ltp_above = 20", "ltp_above = 21")
    assert experiment_hash(one) == experiment_hash(same)
    assert experiment_hash(one) != experiment_hash(other)
    without_default = text.replace("deadline_s = 0.25", "deadline_s = 0.2")
    with_default = text.replace("deadline_s = 0.25\n", "")
    assert experiment_hash(parse(without_default.encode(), Experiment, "c")) == experiment_hash(
        parse(with_default.encode(), Experiment, "d")
    )
    assert len(experiment_hash(one)) == 64
    assert msgspec.json.decode(msgspec.json.encode(one), type=Experiment) == one
