"""Modules of Brevitas against Brevitas itself: its float output, and its integer weights."""

import re

import numpy as np
import pytest
import torch
from torch import nn

import deltaloom as dl
from deltaloom.compiler.errors import DeltaloomError, UnsupportedError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.frontends.torch_frontend import from_torch

with pytest.MonkeyPatch.context() as patch:
    patch.setenv("BREVITAS_JIT", "0")
    library = pytest.importorskip(
        "brevitas.nn",
        reason="pip install --no-deps brevitas dependencies==2.0.1 unfoldNd brings it",
        exc_type=ImportError,
    )
    from brevitas import quant

FLOAT = {"io_quant": None, "gate_acc_quant": None, "bias_quant": None}  # weights alone
LSTM_FLOAT = FLOAT | {"sigmoid_quant": None, "tanh_quant": None, "cell_state_quant": None}
POWER = {"weight_quant": quant.Int8WeightPerTensorFixedPoint}


pytestmark = pytest.mark.filterwarnings("ignore:Keyword arguments are being passed but they not")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def output(module, x):
    with torch.no_grad():
        found = module(torch.tensor(x))
    return (found[0] if isinstance(found, tuple) else found).numpy()


RECURRENT = {
    "rnn": lambda **o: library.QuantRNN(3, 4, **FLOAT, **o),
    "relu": lambda **o: library.QuantRNN(3, 4, nonlinearity="relu", **FLOAT, **o),
    "lstm": lambda **o: library.QuantLSTM(3, 4, **LSTM_FLOAT, **o),
    "coupled": lambda **o: library.QuantLSTM(
        3, 4, coupled_input_forget_gates=True, **LSTM_FLOAT, **o
    ),
}


@pytest.mark.parametrize("scale", ["real", "power-of-two"])
@pytest.mark.parametrize(("num_layers", "bidirectional"), [(1, False), (3, False), (2, True)])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_modules(kind, batch_first, num_layers, bidirectional, scale):
    options = {"batch_first": batch_first, "num_layers": num_layers}
    options |= {"bidirectional": bidirectional} | (POWER if scale == "power-of-two" else {})
    module = RECURRENT[kind](**options).double().eval()
    x = np.random.default_rng(0).normal(size=(2, 9, 3))
    wanted = output(module, x if batch_first else x.swapaxes(0, 1))
    found = evaluate(from_torch(module, max_steps=9), x)
    np.testing.assert_allclose(
        found, wanted if batch_first else wanted.swapaxes(0, 1), rtol=0, atol=1e-12
    )


def integers_of(layer):
    """By weight matrix, what Brevitas says: integers and scale."""
    gates = {"i": "input", "f": "forget", "g": "cell", "o": "output"}
    found = {}
    for gate, word in gates.items():
        part = getattr(layer, f"{word}_gate_params")
        for operand, weight in (("x", part.input_weight), ("h", part.hidden_weight)):
            tensor = weight()
            integers = torch.round(tensor.value / tensor.scale)
            found[f"{gate}.{operand}"] = integers.detach().numpy(), float(tensor.scale.detach())
    return found


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("kind", ["real", "power-of-two"])
@pytest.mark.parametrize("clip", ["minmax", "mse"])
def test_integers_and_scales_are_kept(bits, kind, clip):
    options = POWER if kind == "power-of-two" else {}
    module = RECURRENT["lstm"](batch_first=True, weight_bit_width=bits, **options).eval()
    x = np.random.default_rng(0).normal(size=(3, 20, 3)).astype(np.float32)
    recipe = dl.Recipe(weights=f"int{bits}", scale=kind, clip=clip, activations="int12")
    model = dl.quantize(module, x, recipe)
    (layer,) = model.network.computing
    for key, (integers, scale) in integers_of(module.layers[0][0]).items():
        np.testing.assert_array_equal(layer.weights[key], integers)
        format = next(
            found for found in weight_formats(model, module, x, recipe) if found[0] == key
        )[1]
        if kind == "power-of-two":
            assert format.scale == scale
        else:
            assert format.scale == pytest.approx(scale, rel=2**-16)
    wanted = output(module, x)
    assert np.abs(model(x) - wanted).max() < 0.02


def weight_formats(model, module, x, recipe):
    from deltaloom.compiler.quantize import make_plan

    plan = make_plan(from_torch(module), x, recipe)
    return plan.cells[model.network.computing[0].name].weights.items()


def test_more_bits_than_the_integers_have():
    module = RECURRENT["lstm"](batch_first=True, weight_bit_width=3, **POWER).eval()
    x = np.random.default_rng(0).normal(size=(3, 20, 3))
    model = dl.quantize(module, x)  # 8 bits
    for key, (integers, _) in integers_of(module.layers[0][0]).items():
        np.testing.assert_array_equal(model.network.computing[0].weights[key], integers)


class Model(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.entry = library.QuantLinear(3, 5, bias=True, **options)
        self.rnn = library.QuantRNN(5, 4, batch_first=True, **FLOAT, **options)
        self.head = library.QuantLinear(4, 2, bias=False, **options)

    def forward(self, x):
        return self.head(self.rnn(torch.relu(self.entry(x)))[0][:, -1])


@pytest.mark.parametrize("options", [{}, POWER], ids=["real", "power of two"])
def test_in_hardware(options):
    module = Model(**options).eval()
    x = np.random.default_rng(0).normal(size=(3, 15, 3)).astype(np.float32)
    found = evaluate(from_torch(module.double()), x)
    np.testing.assert_allclose(found, output(module, x.astype(np.float64)), rtol=0, atol=1e-12)
    module.float()
    recipe = dl.Recipe(scale="power-of-two" if options else "real", skip="delta")
    model = dl.quantize(module, x, recipe)
    run = dl.generate(model, lanes=5).simulate(x, "pysim")
    assert np.abs(run.outputs - output(module, x)).max() < 0.03


def test_quantizers_of_activations_are_told():
    """They round where our formats round too: Brevitas' own output is near."""
    module = library.QuantLSTM(3, 4, batch_first=True)
    x = np.random.default_rng(0).normal(size=(4, 40, 3)).astype(np.float32)
    module(torch.tensor(x))  # gathers statistics
    module.eval()
    with pytest.warns(UserWarning, match=r"^Module quantlstm \(QuantLSTM\) quantizes activations"):
        model = dl.quantize(module, x, dl.Recipe(scale="real"))
    assert np.abs(model(x) - output(module, x)).mean() < 0.1  # of Brevitas' own coarse roundings


def test_module_is_not_changed():
    module = library.QuantLSTM(3, 4, **LSTM_FLOAT)
    before = {name: values.clone() for name, values in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    from_torch(module.train())
    assert [part.training for part in module.modules()] == modes
    for name, values in module.state_dict().items():
        torch.testing.assert_close(values, before[name], rtol=0, atol=0)


def test_scales_of_rows():
    """Powers of two have a common unit; other scales a row are refused."""
    options = {"weight_quant": quant.Int8WeightPerChannelFloat}
    with pytest.raises(
        UnsupportedError,
        match=r"^Module linear \(QuantLinear\) has weights linear with a scale for each row, from ",
    ):
        from_torch(library.QuantLinear(3, 4, bias=False, **options))
    from brevitas.core.function_wrapper import CeilSte
    from brevitas.core.restrict_val import RestrictValueType

    class PowersOfRows(quant.Int8WeightPerChannelFloat):
        restrict_scaling_type = RestrictValueType.POWER_OF_TWO
        restrict_value_float_to_int_impl = CeilSte

    module = library.QuantLinear(3, 4, bias=False, weight_quant=PowersOfRows, weight_bit_width=4)
    with torch.no_grad():
        module.weight[0] *= 8
    x = np.random.default_rng(0).normal(size=(2, 9, 3))
    network = from_torch(module.double().eval())
    np.testing.assert_allclose(evaluate(network, x), output(module, x), rtol=0, atol=1e-12)
    with pytest.raises(DeltaloomError, match="which int4 does not hold: give them as many bits"):
        dl.quantize(module, x, dl.Recipe(weights="int4"))
    (layer,) = dl.quantize(module, x).network.computing
    step = float(module.quant_weight().scale.detach().min())
    wanted = module.quant_weight().value.detach().numpy() / step
    np.testing.assert_array_equal(layer.weights["y.x"], wanted)


REFUSALS = {
    "real scale": (
        lambda: library.QuantLinear(3, 4, bias=False),
        {},
        r"are integers with the scale 0\.\d+, no power of two: a recipe with scale = 'real' keeps ",
    ),
    "too few bits": (
        lambda: library.QuantLinear(3, 4, bias=False, **POWER),
        {"weights": "int4"},
        r"Weights linear\.y\.x are integers from -\d+ to \d+ with the scale [\d.]+, which int4 ",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses_to_change_scales(case):
    make, options, sentence = REFUSALS[case]
    x = np.random.default_rng(0).normal(size=(2, 9, 3))
    with pytest.raises(DeltaloomError, match=sentence):
        dl.quantize(make(), x, dl.Recipe(**options))


def test_training_in_our_integers_is_refused():
    x = np.random.default_rng(0).normal(size=(2, 9, 3))
    with pytest.raises(UnsupportedError, match=r"^Layer linear has weights that are integers alre"):
        dl.prepare(library.QuantLinear(3, 4, **POWER), None, x)


def test_initial_state_is_refused():
    class Started(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = RECURRENT["rnn"]()
            self.start = nn.Parameter(torch.ones(1, 1, 4))

        def forward(self, x):
            return self.rnn(x, self.start)[0]

    with pytest.raises(UnsupportedError, match=re.escape("is given an initial state; supported ")):
        from_torch(Started())
