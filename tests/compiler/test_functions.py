import numpy as np
import pytest
import torch
from torch.nn import functional

from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.fixed import Format
from deltaloom.compiler.functions import FAMILIES, Function, function_of
from deltaloom.compiler.pwl import table_error
from deltaloom.compiler.pwl_adaptive import fit_adaptive
from deltaloom.compiler.pwl_corners import fit_corners
from deltaloom.compiler.pwl_uniform import fit

TORCH = {
    "abs": torch.abs,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "scaled_tanh(1.5, 0.625)": lambda x: 1.5 * torch.tanh(0.625 * x),
    "exp": torch.exp,
    "softsign": functional.softsign,
    "softplus(1.0, 20.0)": functional.softplus,
    "softplus(2.5, 3.0)": lambda x: functional.softplus(x, 2.5, 3),
    "log_sigmoid": functional.logsigmoid,
    "elu(1.0, 1.0, 1.0)": functional.elu,
    "elu(0.3, 1.0, 1.0)": lambda x: functional.elu(x, 0.3),
    "elu(1.6732632423543772, 1.0507009873554805, 1.0)": functional.selu,
    "elu(0.4, 1.0, 2.5)": lambda x: functional.celu(x, 0.4),
    "silu": functional.silu,
    "mish": functional.mish,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "hard_swish": functional.hardswish,
    f"hard_sigmoid({1 / 6}, 0.5)": functional.hardsigmoid,
    "hard_sigmoid(0.2, 0.5)": lambda x: torch.clip(0.2 * x + 0.5, 0, 1),
    "hard_tanh(-1.0, 1.0)": functional.hardtanh,
    "hard_tanh(0.0, 6.0)": functional.relu6,
    "hard_tanh(-0.3, 0.7)": lambda x: functional.hardtanh(x, -0.3, 0.7),
    "leaky_relu(0.01)": functional.leaky_relu,
    "leaky_relu(0.25)": lambda x: functional.leaky_relu(x, 0.25),
    "soft_shrink(0.5)": functional.softshrink,
    "linear(0.5, -1.0)": lambda x: 0.5 * x - 1,
    "softmax_weight": lambda x: torch.exp(-8 - x),
}
TABLED = [name for name in TORCH if name not in ("abs", "relu")]
CALIBRATED = [(16, 12), (16, 15), (8, 5), (11, 10), (5, 2)]


@pytest.mark.parametrize("name", TORCH)
def test_is_that_of_torch(name):
    x = np.concatenate([np.linspace(-30, 30, 1201), np.linspace(-1, 1, 41)])
    want = TORCH[name](torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(function_of(name)(x), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", TORCH)
def test_slope_is_the_derivative(name):
    function = function_of(name)
    x = torch.linspace(-9, 9, 360, dtype=torch.float64, requires_grad=True)
    (want,) = torch.autograd.grad(TORCH[name](x).sum(), x)
    # torch keeps some parameters in single precision on the way back
    np.testing.assert_allclose(function.slope(x.detach().numpy()), want, rtol=1e-6, atol=1e-9)


def test_every_function_is_tested():
    known = {name.partition("(")[0] for name in TORCH} | {"inverse_reciprocal", "inverse_root"}
    assert known == set(FAMILIES)


@pytest.mark.parametrize("name", TORCH)
def test_has_one_name(name):
    assert function_of(name).name == name
    assert function_of(name) is function_of(name)
    assert function_of(name).stem.isidentifier()
    assert function_of(name.partition("(")[0]).stem == function_of(name).stem


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("sine", "Function must be one of abs, relu, .*, not 'sine'"),
        ("", "Function must be one of .*, not ''"),
        ("tanh(1)", r"Function tanh must have at most 0 finite parameters, not \(1\)"),
        ("elu(a)", r"Function elu must have at most 3 finite parameters, not \(a\)"),
        ("elu(nan)", "Function elu must have at most 3 finite parameters"),
        ("elu(0)", r"Parameter alpha of elu must be from 2\*\*-16 to 2\*\*16, not 0"),
        ("softplus(-1)", "Parameter beta of softplus must be"),
        ("hard_sigmoid(0.2, 2)", "Parameter beta of hard_sigmoid must be from 0 to 1, not 2"),
        ("hard_tanh(1, -1)", "Parameter high of hard_tanh must be above 1, not -1"),
        ("leaky_relu(1e9)", r"Parameter slope of leaky_relu must be at most 2\*\*8 in magnitude"),
    ],
)
def test_refuses(name, sentence):
    with pytest.raises(ValueError, match=sentence):
        function_of(name)


def formats(function, calibrated):
    """Source and target of a table, the results calibrated as the inputs are."""
    source = function.source(calibrated)
    return source, function.target(source, calibrated)


@pytest.mark.parametrize("name", TABLED)
@pytest.mark.parametrize(("width", "frac"), CALIBRATED)
def test_target_holds_every_result(name, width, frac):
    """Nothing is cut off but what rounds up to the first number beyond."""
    function = function_of(name)
    source, target = formats(function, Format(width, frac))
    codes = np.arange(source.min, source.max + 1)
    real = function(source.dequantize(codes)) * 2.0**target.frac
    assert real.min() >= target.min
    assert real.max() <= target.max + 1
    assert source.width == width
    assert width <= target.width <= width + 2


@pytest.mark.parametrize("name", [n for n in TABLED if function_of(n).corners is None])
@pytest.mark.parametrize("fitted", [fit, fit_adaptive], ids=["uniform", "adaptive"])
@pytest.mark.parametrize(("width", "frac"), [(8, 5), (11, 9)])
def test_tables_meet_their_budget(name, fitted, width, frac):
    function = function_of(name)
    source, target = formats(function, Format(width, frac))
    table = fitted(function, source, target, budget=2)
    codes = np.arange(source.min, source.max + 1)
    want = function(source.dequantize(codes)) * 2.0**target.frac
    assert np.abs(table(codes) - want).max() <= 2
    assert table_error(table).worst == np.abs(table(codes) - want).max()


@pytest.mark.parametrize("name", [n for n in TABLED if function_of(n).corners is not None])
@pytest.mark.parametrize(("width", "frac"), CALIBRATED)
def test_pieces_of_piecewise_linear_functions(name, width, frac):
    """A piece a corner within the source, and one more where results would leave the target.

    Slopes of 18 bits are a quarter of a last place off at the far end of 16 bits.
    """
    function = function_of(name)
    source, target = formats(function, Format(width, frac))
    table = fit_corners(function, source, target)
    assert len(table.base) <= len(function.corners) + 2
    codes = np.arange(source.min, source.max + 1)
    real = function(source.dequantize(codes)) * 2.0**target.frac
    got = table(codes)
    assert target.holds(got)
    cut = real > target.max + 0.5
    assert np.abs(got - real)[~cut].max() <= 0.76
    np.testing.assert_array_equal(got[cut], target.max)


@pytest.mark.parametrize("name", ["leaky_relu(0.25)", "hard_tanh(-1.0, 1.0)", "soft_shrink(0.5)"])
def test_powers_of_two_are_exact(name):
    """What rounding to the nearest, halves up, of the real function gives."""
    function = function_of(name)
    source, target = formats(function, Format(9, 6))
    codes = np.arange(source.min, source.max + 1)
    real = function(source.dequantize(codes))
    np.testing.assert_array_equal(
        fit_corners(function, source, target)(codes), target.quantize(real)
    )


def test_corners_need_a_function_that_has_them():
    with pytest.raises(ValueError, match="must be piecewise linear itself, which tanh is not"):
        fit_corners("tanh", Format(8, 4), Format(8, 7))


def test_own_function():
    own = Function("cube", lambda x: x**3)
    source = own.source(Format(9, 7))
    target = own.target(source, Format(9, 5))
    assert (source, target) == (Format(9, 7), Format(9, 5))
    table = fit(own, source, target, budget=1)
    assert (table.function, table.known) == ("cube", True)
    assert table_error(table).worst <= 1


def test_refuses_own_functions_without_values():
    own = Function("pole", lambda x: 1 / x)
    with pytest.raises(
        DeltaloomError, match=r"Function pole must be finite for all inputs of s8.4, from -8 to 7"
    ):
        own.target(Format(8, 4), Format(8, 4))
