"""What benchmarks compute from what they measure; nothing here asserts a speed."""

import numpy as np
import pytest
import torch
from amaranth.hdl import Fragment

import deltaloom as dl
from deltaloom.bench import (
    activations,
    cells,
    encodings,
    frequency,
    generate_time,
    golden_speed,
    graphs,
    networks,
    simulators,
    size,
    small,
    training_speed,
    utilization,
)
from deltaloom.bench.networks import Shape
from deltaloom.bench.stopwatch import Stopwatch
from deltaloom.boards.report import Cells


def quiet(_):
    pass


def test_utilization_of_a_small_network(monkeypatch):
    monkeypatch.setattr(utilization, "SHAPES", (Shape("LSTM", 5, 6, 7),))
    monkeypatch.setattr(utilization, "TIMESTEPS", 24)
    monkeypatch.setattr(utilization, "DENSITY", 0.3)
    monkeypatch.setattr(dl.Design, "simulate", simulate_in_the_model)
    result = utilization.measure(quiet)
    dense, sparse = result["cases"]
    assert dense["list_density"] == 1
    assert sparse["list_density"] == pytest.approx(0.3, abs=0.1)
    assert dense["cycles_a_step"] > sparse["cycles_a_step"]
    rows = utilization.figures(result)
    assert [row.reach for row in rows] == ["0.99", "0.97", "equal, always"]
    assert rows[0].met is (dense["utilization"] >= 0.99)


simulate = dl.Design.simulate


def simulate_in_the_model(design, x):
    return simulate(design, x, "model")


def test_dense_steps_of_small_networks():
    shape = Shape("LSTM", 1, 20, 4)
    x = networks.white_noise(20, 1)
    run = dl.generate(networks.quantized(shape, x), lanes=4).simulate(x, "model")
    assert networks.steady_step(run.step_cycles) == 20 * 21


def test_columns_of_layers():
    model = networks.quantized(small.GRU, networks.white_noise(20, 8))
    densities = {"gru.0": {"x": 0.5, "h": 0.25}, "gru.1": {"x": 0.125, "h": 0.0}}
    assert small.columns(model, densities) == {"gru.0": 8.0, "gru.1": 2.0}


def test_small_figures():
    shapes = {"dense": {"cycles_a_step": 256.0}, "drawn": 44.0}
    sparse = {"cycles_a_step": 46.0, "columns": {"gru.0": 1.5, "gru.1": 2.5}}
    result = {
        "gru": {**shapes, "sparse": sparse},
        "lstm": {"dense": {"cycles_a_step": 420.0}},
    }
    rows = small.figures(result)
    assert [row.met for row in rows] == [True, False, True]
    assert "2.00 columns a layer" in rows[1].what


def test_frequency_figures():
    lstm = {"cell": "LSTM", "board": "ulx3s_85f", "skip": "delta"}
    cells = {"luts": 2400, "carries": 400, "flip_flops": 2000, "multipliers": 24, "block_rams": 17}
    result = {
        "cases": [
            {
                **lstm,
                **{"inputs": 64, "hidden": 64, "lanes": 16, "reach": 110, "mhz": 115.0},
                "cells": cells,
                "components": {"lanes": {"luts": 700, "carries": 300}},
            },
            {
                **lstm,
                **{"inputs": 32, "hidden": 32, "lanes": 8, "reach": 30},
                "does_not_fit": "Board has 1 cell, design needs 2",
            },
        ]
    }
    first, outside, second = frequency.figures(result)
    assert (first.met, outside.met, second.met) == (True, False, False)
    assert outside.measured == "1,700 (and 100 carry cells)"
    assert second.measured == "does not fit: Board has 1 cell, design needs 2"


def test_frequency_records_what_does_not_fit(monkeypatch):
    case = (Shape("LSTM", 16, 16, 64), "icebreaker", frequency.DELTA, 30)
    monkeypatch.setattr(frequency, "CASES", (case,))

    def refuse(component, *_, **__):
        Fragment.get(component, None)
        raise dl.DoesNotFitError("Board is small")

    monkeypatch.setattr(frequency.flow, "measure", refuse)
    (case,) = frequency.measure(quiet)["cases"]
    assert "oard" in case["does_not_fit"]
    assert "mhz" not in case


def test_numpy_lstm_equals_torch():
    layer = torch.nn.LSTM(3, 5).double()
    half = torch.tensor([0.5] * 10 + [1.0] * 5 + [0.5] * 5)[:, None]
    order = [*range(10), *range(15, 20), *range(10, 15)]  # ours has the cell's rows last

    def weights(of):
        return (of * half)[order].T.detach().numpy()

    bias = (layer.bias_ih_l0 + layer.bias_hh_l0)[:, None]
    x = torch.rand(7, 3, dtype=torch.float64)
    y = golden_speed.numpy_lstm(
        x.numpy(),
        weights(layer.weight_ih_l0),
        weights(layer.weight_hh_l0),
        weights(bias)[0],
    )
    np.testing.assert_allclose(y, layer(x)[0].detach().numpy(), atol=1e-12)


def test_golden_speed_figures():
    rates = {"golden": 40_000.0, "torch": 100_000.0}
    result = {
        "large": {"steps_a_second": rates},
        "small": {"steps_a_second": {**rates, "golden": 9_000.0, "numpy": 30_000.0}},
    }
    ratio, single = golden_speed.figures(result)
    assert ratio.measured.startswith("0.40 times")
    assert (ratio.met, single.met) == (True, False)


def test_generate_time_figures():
    seconds = [{"computed": 11.0, "passed": 12.0}, {"computed": 9.0, "passed": 30.0}]
    (row,) = generate_time.figures({"seconds": seconds})
    assert (row.measured, row.met) == ("9.0 s", True)


def test_simulators_figures():
    def speed(rate):
        return {
            "cycles_a_second": rate,
            "build": {"computed": 20.0},
            "second_start": {"computed": 1.5},
        }

    result = {
        "pysim": {"cycles_a_second": 900.0, "build": {"computed": 0.5}},
        "verilator": speed(2e6),
        "cxxrtl": speed(9e5),
        "cocotb_verilator": {"cycles_a_second": 90_000.0},
    }
    fastest, second, cocotb = simulators.figures(result)
    assert fastest.measured.startswith("2,000,000 with verilator (pysim 900 after 0 s of build")
    assert (fastest.met, second.met, cocotb.met) == (True, True, False)


def test_size():
    assert size.saved(25, 100) == 0.75
    numbers = {"weights": 200, "biases": 30, "tables": 90, "file": 400, "float32": 1000}
    (row,) = size.figures({"cases": [{"name": "GRU 64-64", **numbers}]})
    assert row.measured == "77.0% smaller (68.0% with tables, 60.0% the whole file)"
    assert row.met


def test_float32_of_torch_has_both_biases(monkeypatch):
    monkeypatch.setattr(size, "SHAPES", (Shape("GRU", 4, 6, 1), Shape("LSTM", 4, 6, 1)))
    gru, lstm = size.measure(quiet)["cases"]
    for case, kind in ((gru, torch.nn.GRU), (lstm, torch.nn.LSTM)):
        assert case["float32_torch"] == 4 * sum(p.numel() for p in kind(4, 6).parameters())


def test_stopwatch_counts_both_times():
    seconds = Stopwatch().seconds
    assert set(seconds) == {"passed", "computed"}
    assert all(value >= 0 for value in seconds.values())


def test_training_speed_figures(monkeypatch):
    for name, value in (("BATCH", 2), ("TIMESTEPS", 3), ("HIDDEN", 4), ("ROUNDS", 1)):
        monkeypatch.setattr(training_speed, name, value)
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        result = training_speed._measure()
    torch.set_num_threads(threads)
    result["cases"][0]["seconds"] = {"torch": 0.002, "prepared": 0.013}
    rows = training_speed.figures(result)
    assert [row.met for row in rows] == [False, None, None]
    assert "6.5 times (13 ms, float 2 ms, 3 timesteps)" in rows[0].measured


def test_encodings_of_two_lanes(monkeypatch, tmp_path):
    shapes = {"ulx3s_85f": (Shape("GRU", 2, 3, 3),), "icebreaker": (Shape("RNN", 1, 2, 1),)}
    monkeypatch.setattr(encodings, "SHAPES", shapes)
    monkeypatch.setattr(encodings, "ENCODINGS", ("ternary", "int2"))
    monkeypatch.setattr(encodings, "FOLDER", tmp_path)
    asked = []

    def synthesise(component, board, folder):
        Fragment.get(component, None)
        asked.append((len(component.weights), board.name, folder.name))
        return Cells(luts=30)

    monkeypatch.setattr(encodings.flow, "synthesise", synthesise)
    rows = encodings.figures(encodings.measure(quiet))
    assert asked == [
        (6, "ulx3s_85f", "lanes-gru-3-3-ternary-ulx3s_85f"),
        (6, "ulx3s_85f", "lanes-gru-3-3-int2-ulx3s_85f"),
        (2, "icebreaker", "lanes-rnn-2-1-ternary-icebreaker"),
        (2, "icebreaker", "lanes-rnn-2-1-int2-icebreaker"),
    ]
    assert [(row.reach, row.met) for row in rows] == [("0", True), ("2", True)] + [
        ("0", True),
        ("1", True),
    ]
    assert rows[2].what.endswith("ternary weights, icebreaker")
    assert rows[0].measured.startswith("0 (10.0 LUT4, 0.0 carry cells")


def test_tables_of_few_segments(monkeypatch, tmp_path):
    """Each is elaborated; the picture has a line for each function and kind."""
    monkeypatch.setattr(activations, "SEGMENTS", (4, 128))
    monkeypatch.setattr(activations, "READERS", (16,))
    monkeypatch.setattr(activations, "FOLDER", tmp_path)
    drawn = []
    monkeypatch.setattr(activations, "draw", lambda path, *panels: drawn.append(panels))

    def synthesise(component, board, folder):
        Fragment.get(component, None)
        return Cells(luts=30, block_rams=int("128" in folder.name))

    monkeypatch.setattr(activations.flow, "synthesise", synthesise)
    result = activations.measure(quiet)
    keys = {(c["function"], c["width"], c["kind"], c["segments"]) for c in result["cases"]}
    assert len(keys) == len(result["cases"]) == 3 * 2 * 3
    assert all(case["mean_squared"] <= case["worst"] ** 2 for case in result["cases"])
    error, area = drawn[0]
    assert [len(series.x) for series in error.series] == [2, 1] * 3
    assert area.series[0].y == [30, 30]
    rows = activations.figures(result)
    assert len(rows) == 3 * 2 * 2 + 1
    assert rows[0].what == "table of sigmoid, 16 bits, 4 segments"
    assert "uniform off by" in rows[0].measured
    assert "adaptive off by" in rows[0].measured
    assert "30 LUT4, 1 DP16KD" in rows[1].measured
    assert rows[-1].measured == "0 with a memory each, 0 with one for both"


def test_cells_on_two_lanes(monkeypatch, tmp_path):
    attention = "attention, dot, to all timesteps so far"
    names = ("linear", "GRU, reset before", "LSTM, LayerNorm", attention)
    kept = {name: cells.CELLS[name] for name in names}
    for name, value in (("CELLS", kept), ("SIZE", 3), ("LANES", 2), ("TIMESTEPS", 6)):
        monkeypatch.setattr(cells, name, value)
    monkeypatch.setattr(cells, "FOLDER", tmp_path)

    def synthesise(component, board, folder):
        Fragment.get(component, None)
        return Cells(luts=1234)

    monkeypatch.setattr(cells.flow, "synthesise", synthesise)
    rows = cells.figures(cells.measure(quiet))
    assert [row.what.split(":")[0] for row in rows] == [f"{name}, 3 to 3, 2 lanes" for name in kept]
    assert all(row.met is None and row.measured.endswith("1,234 LUT4") for row in rows)


def test_graphs_on_few_lanes(monkeypatch, tmp_path):
    values = {"SIZE": 3, "LANES": 6, "TIMESTEPS": 7, "FRAMES": 2, "FRAME": (2, 3), "ENTRIES": 20}
    for name, value in {**values, "HIDDEN": 2, "CHANNELS": 1, "FOLDER": tmp_path}.items():
        monkeypatch.setattr(graphs, name, value)

    def synthesise(component, board, folder):
        Fragment.get(component, None)
        return Cells(luts=1234)

    monkeypatch.setattr(graphs.flow, "synthesise", synthesise)
    monkeypatch.setattr(dl.Design, "simulate", simulate_in_the_model)
    rows = graphs.figures(graphs.measure(quiet))
    assert len(rows) == len(graphs.GRAPHS)
    assert not any("nan" in row.measured for row in rows)
    assert all(row.met is None and row.measured.endswith("1,234 LUT4") for row in rows)


@pytest.mark.parametrize(
    ("weights", "wanted"), [("binary", 0), ("shift4", 0), ("int2", 4), ("int4", 4), ("int8", 7)]
)
def test_multipliers_that_seven_lanes_are_to_take(weights, wanted):
    assert encodings.wanted_multipliers(weights, 7) == wanted
