import re

import numpy as np
import pytest

from deltaloom.compiler.cell import trace
from deltaloom.compiler.cells import GRU, LSTM, RNN, Linear
from deltaloom.compiler.encodings import ENCODINGS, UNIT_MULTIPLIER, WeightFormat
from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.network import Layer
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.weight_scales import choose_weight_formats, squared_error

COARSE = ["binary", "ternary", "quaternary", "shift2", "shift3", "shift4"]


def normal_layer(make_layer, cell, seed=0):
    """A layer with normal weights, whose largest is far from the rest."""
    layer = make_layer("rnn.0", cell)
    rng = np.random.default_rng(seed)
    parameters = {key: rng.normal(size=v.shape) * 0.3 for key, v in layer.parameters.items()}
    return Layer(layer.name, layer.cell, layer.graph, parameters)


@pytest.mark.parametrize("name", [*COARSE, "int2", "int3", "int8"])
def test_no_other_power_of_two_errs_less(make_layer, name):
    layer = normal_layer(make_layer, GRU(13, 17))
    for key, format in choose_weight_formats(layer, Recipe(weights=name)).items():
        assert format.multiplier == UNIT_MULTIPLIER
        values = layer.parameters[key]
        errors = [
            squared_error(WeightFormat(ENCODINGS[name], frac), values) for frac in range(-8, 24)
        ]
        assert squared_error(format, values) == min(errors)


@pytest.mark.parametrize("name", COARSE)
def test_covering_levels_reach_every_weight(make_layer, name):
    layer = normal_layer(make_layer, GRU(5, 7))
    for kind in ("power-of-two", "real"):
        recipe = Recipe(weights=name, clip="minmax", scale=kind)
        formats = choose_weight_formats(layer, recipe)
        for key, format in formats.items():
            largest = np.abs(layer.parameters[key]).max()
            reach = format.dequantize(format.encoding.levels[-1])
            assert largest <= reach < 2 * largest
    gate = {format.multiplier for key, format in formats.items() if key.startswith("r.")}
    assert len(gate) == 1


def test_real_binary_scale_is_the_mean_magnitude(make_layer):
    """Rastegari et al. 2016."""
    layer = normal_layer(make_layer, GRU(13, 17))
    formats = choose_weight_formats(layer, Recipe(weights="binary", scale="real"))
    format, values = formats["n_x.x"], layer.parameters["n_x.x"]
    assert format.scale == pytest.approx(np.abs(values).mean(), rel=2**-15)


def test_real_ternary_scale_is_that_of_li_2016(make_layer):
    """The best of all thresholds, each with the mean of the magnitudes above it as its scale."""
    layer = normal_layer(make_layer, GRU(13, 17))
    formats = choose_weight_formats(layer, Recipe(weights="ternary", scale="real"))
    format, values = formats["n_h.h"], layer.parameters["n_h.h"]
    sizes = np.sort(np.abs(values).ravel())[::-1]
    counts = np.arange(1, len(sizes) + 1)
    best = (values**2).sum() - (sizes.cumsum() ** 2 / counts).max()
    assert squared_error(format, values) == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize("name", [*COARSE, "int3", "int8"])
def test_a_real_scale_never_errs_more(make_layer, name):
    layer = normal_layer(make_layer, LSTM(6, 11))

    def total(kind):
        formats = choose_weight_formats(layer, Recipe(weights=name, scale=kind))
        return sum(squared_error(f, layer.parameters[key]) for key, f in formats.items())

    assert total("real") <= total("power-of-two")


def test_paths_of_a_gate_share_the_mantissa(make_layer):
    layer = normal_layer(make_layer, LSTM(6, 11))
    recipe = Recipe(weights="ternary", paths={"*.x": {"weights": "shift3"}}, scale="real")
    formats = choose_weight_formats(layer, recipe)
    for gate in "ifgo":
        assert formats[f"{gate}.x"].multiplier == formats[f"{gate}.h"].multiplier
        assert str(formats[f"{gate}.x"].encoding) == "shift3"
        assert str(formats[f"{gate}.h"].encoding) == "ternary"


def test_kinds_of_scale_must_not_mix_within_a_gate(make_layer):
    layer = make_layer("rnn.0", RNN(2, 3))
    with pytest.raises(DeltaloomError) as error:
        choose_weight_formats(layer, Recipe(paths={"rnn.0.*.h": {"scale": "real"}}))
    gate = next(iter(layer.parameters)).split(".")[0]
    assert str(error.value) == (
        f"Recipe must give the weights rnn.0.{gate}.x, rnn.0.{gate}.h the same kind of scale, "
        f"not power-of-two and real: they share an accumulator"
    )


@pytest.mark.parametrize("name", ["binary", "quaternary", "shift3"])
def test_weights_without_a_zero_must_not_all_be_zero(make_layer, name):
    layer = make_layer("rnn.0", GRU(2, 3))
    layer.parameters["r.x"][:] = 0
    choose_weight_formats(layer, Recipe(weights="ternary"))
    with pytest.raises(DeltaloomError) as error:
        choose_weight_formats(layer, Recipe(weights=name))
    assert str(error.value) == (
        f"Weights rnn.0.r.x must not all be zero, which {name} weights cannot be: "
        f"give them integers"
    )


def with_steps(weights, step):
    """A linear layer whose weights are whole numbers of units."""
    graph = trace(Linear(3, 4))
    parameters = {"y.x": weights, "y": np.zeros(4)}
    return Layer("l", "Linear", graph, parameters, steps={"y.x": step})


@pytest.mark.parametrize("step", [2.0**-5, 0.0317, 3.0])
@pytest.mark.parametrize("clip", ["minmax", "mse"])
def test_integers_stay_what_they_are(step, clip):
    integers = np.random.default_rng(0).integers(-7, 8, (4, 3))
    layer = with_steps(integers * step, step)
    kind = "power-of-two" if step == 2.0**-5 else "real"
    (format,) = choose_weight_formats(layer, Recipe(clip=clip, scale=kind)).values()
    np.testing.assert_array_equal(format.quantize(layer.parameters["y.x"]), integers)
    assert format.scale == pytest.approx(step, rel=2**-16, abs=0)


@pytest.mark.parametrize(
    ("step", "recipe", "sentence"),
    [
        (0.0317, Recipe(), "are integers with the scale 0.0317, no power of two: a recipe with "),
        (0.5, Recipe(weights="int3"), "from -7 to 7 with the scale 0.5, which int3 does not hold"),
    ],
)
def test_refuses_to_change_integers(step, recipe, sentence):
    integers = np.array([[-7, 0, 7], [1, 2, 3], [0, 0, 1], [5, -5, 2]])
    with pytest.raises(DeltaloomError, match=re.escape(sentence)):
        choose_weight_formats(with_steps(integers * step, step), recipe)
