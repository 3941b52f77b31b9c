"""PyMeasure's own classes, unchanged, on the simulated bench units: an outside witness."""

import pytest
from bench_smu_rig import running

pymeasure_keithley = pytest.importorskip("pymeasure.instruments.keithley")


@pytest.fixture
def opened():
    """Open PyMeasure's class on a running unit; close what was opened."""
    made = []

    def open_on(name, process):
        instrument = getattr(pymeasure_keithley, name)(
            process.resource,
            visa_library="@py",
            read_termination="\n",
            write_termination="\n",
            timeout=3000,
        )
        made.append(instrument)
        return instrument

    yield open_on
    for instrument in made:
        instrument.adapter.close()
        instrument.adapter.manager.close()


def test_a_2400(opened):
    with running("keithley_2400") as process:
        unit = opened("Keithley2400", process)
        assert "MODEL 2400" in unit.id
        unit.source_mode = "voltage"
        unit.source_voltage_range = 2
        unit.compliance_current = 1e-3
        assert unit.compliance_current == pytest.approx(1e-3)
        unit.source_voltage = 0.5
        unit.enable_source()
        assert unit.ask("*OPC?") == "1"  # it has done what was only sent
        assert process.ask("status")["is_on"]
        assert process.ask("status")["level_v"] == 0.5
        unit.disable_source()
        assert unit.ask("*OPC?") == "1"
        assert not process.ask("status")["is_on"]


def test_a_2450(opened):
    with running("keithley_2450") as process:
        unit = opened("Keithley2450", process)
        assert "MODEL 2450" in unit.id
        unit.source_voltage_range = 2
        unit.compliance_current = 1e-3
        unit.source_voltage = 0.5
        unit.enable_source()
        current_a = float(unit.ask(":READ?"))
        assert current_a == pytest.approx(1e-4, rel=1e-3)  # 5 kohm at 0.5 V
        unit.disable_source()
        assert unit.ask("*OPC?") == "1"
        assert not process.ask("status")["is_on"]


@pytest.mark.filterwarnings("ignore:It is not known whether:FutureWarning")
def test_a_2600(opened):
    with running("keithley_2600") as process:
        unit = opened("Keithley2600", process)
        channel = unit.ChA
        channel.source_mode = "voltage"
        channel.source_voltage_range = 2
        channel.compliance_current = 1e-3
        assert channel.compliance_current == pytest.approx(1e-3)
        channel.source_voltage = 0.5
        channel.source_output = "ON"
        assert channel.current == pytest.approx(1e-4, rel=1e-3)
        assert channel.voltage == pytest.approx(0.5, rel=1e-3)
        assert channel.resistance == pytest.approx(5000, rel=1e-3)
        channel.source_output = "OFF"
        unit.write("smub.source.levelv = 1")  # it has no channel B
        code, *_ = unit.next_error
        assert code == -286
        assert not process.ask("status")["is_on"]
