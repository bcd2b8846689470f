import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deltaloom.compiler.artifact import KEY, checksum, encode, load, model_bytes, save
from deltaloom.compiler.cells import GRU, LSTM, Linear, ReluRNN
from deltaloom.compiler.errors import DeltaloomError, ModelFileError
from deltaloom.compiler.functions import Function
from deltaloom.compiler.network import LastStep, Network
from deltaloom.compiler.packing import pack, packed_bytes, unpack
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.sim.golden import run

FORGE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def data(features):
    return np.random.default_rng(0).normal(size=(5, 6, features))


@pytest.fixture
def network(make_layer):
    layers = (
        make_layer("rnn.0", LSTM(3, 5)),
        make_layer("rnn.1", GRU(5, 4), seed=1),
        LastStep("last"),
        make_layer("head", Linear(4, 2), seed=2),
    )
    recipe = Recipe(
        weights="int5",
        skip="delta",
        theta={"rnn.1": {"h": 2}},
        elementwise=8,
        paths={"rnn.0.*": {"weights": "int8"}},
    )
    return quantize(Network(layers), data(3), recipe)


@pytest.fixture
def whole(network):
    return encode(network)


def load_bytes(folder, content):
    path = folder / "model.safetensors"
    path.write_bytes(content)
    return load(path)


def parts(content):
    """Header, model and data of a file's bytes."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return header, json.loads(header["__metadata__"][KEY]), content[8 + length :]


def assemble(header, model, payload):
    """A file with a checksum that is right, whatever the model says."""
    model = {key: value for key, value in model.items() if key != "checksum"}
    model["checksum"] = checksum(model, [payload])
    header = header | {
        "__metadata__": {KEY: json.dumps(model, sort_keys=True, separators=(",", ":"))}
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + payload


def test_load_gives_what_was_saved(network, tmp_path):
    path = tmp_path / "model.safetensors"
    save(network, path)
    loaded = load(path)
    for before, after in zip(network.layers, loaded.layers, strict=True):
        if isinstance(before, LastStep):
            assert before == after
            continue
        assert (before.name, before.cell, before.graph) == (after.name, after.cell, after.graph)
        assert (before.skip, before.theta) == (after.skip, after.theta)
        assert before.tables == after.tables
        for key in before.weights:
            np.testing.assert_array_equal(before.weights[key], after.weights[key])
        for key in before.biases:
            np.testing.assert_array_equal(before.biases[key], after.biases[key])
    sequences = [network.input_format.quantize(sequence) for sequence in data(3)]
    for want, got in zip(
        run(network, sequences).outputs, run(loaded, sequences).outputs, strict=True
    ):
        np.testing.assert_array_equal(want, got)


@pytest.mark.parametrize("bits", [2, 3, 8, 11, 16])
def test_load_and_save_give_the_same_bytes(make_network, tmp_path, bits):
    network = quantize(make_network(GRU(3, 7)), data(3), Recipe(weights=f"int{bits}"))
    first, second = tmp_path / "first", tmp_path / "second"
    save(network, first)
    save(load(first), second)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


CODES = {"binary": 1, "ternary": 2, "quaternary": 2, "shift2": 2, "shift3": 3, "shift4": 4}


@pytest.mark.parametrize("scale", ["power-of-two", "real"])
@pytest.mark.parametrize("name", CODES)
def test_encodings_come_back_in_their_bits(make_network, tmp_path, name, scale):
    recipe = Recipe(weights=name, paths={"*.z.x": {"weights": "int5"}}, scale=scale)
    network = quantize(make_network(GRU(3, 7)), data(3), recipe)
    whole = encode(network)
    again = load_bytes(tmp_path, whole)
    assert encode(again) == whole
    assert again.layers[0].graph == network.layers[0].graph
    for key, weights in network.layers[0].weights.items():
        np.testing.assert_array_equal(again.layers[0].weights[key], weights)
        stored = safetensors.numpy.load(whole)[f"layer.0.{key}"]
        bits = 5 if key == "z.x" else CODES[name]
        assert stored.nbytes == packed_bytes(weights.size, bits)
    rest = sum(7 * (7 if key.endswith("h") else 3) for key in network.layers[0].weights) - 21
    assert model_bytes(network).weights >= (21 * 5 + rest * CODES[name]) / 8


def path_of(model, layer, name):
    """Place of an affine's first path in a model's description."""
    nodes = model["model"]["layers"][layer]["nodes"]
    place = next(place for place, node in enumerate(nodes) if node["name"] == name)
    return ("model", "layers", layer, "nodes", place, "paths", 0)


@pytest.mark.parametrize(
    ("entry", "value", "reason"),
    [
        ("encoding", "int4", "must be one of binary, ternary, quaternary, shift2, shift3, shift4"),
        ("encoding", "octal", "must be one of binary, ternary, quaternary, shift2, shift3, shift4"),
        ("encoding", 7, "must be one of binary, ternary, quaternary, shift2, shift3, shift4"),
        ("encoding", "binary", "its header is not as it was written"),
        ("encoding", "shift3", "must have an encoding of 2 bits in two's complement, not shift3"),
        ("format", "s3.2", "must have an encoding of 3 bits in two's complement, not ternary"),
    ],
)
def test_forged_encodings_are_refused(make_network, tmp_path, entry, value, reason):
    network = quantize(make_network(GRU(3, 7)), data(3), Recipe(weights="ternary"))
    header, model, payload = parts(encode(network))
    forged = changed(model, (*path_of(model, 0, "r"), entry), value)
    with pytest.raises(ModelFileError) as error:
        load_bytes(tmp_path, assemble(header, forged, payload))
    assert reason in str(error.value)


def test_a_code_without_a_level_is_refused(make_network, tmp_path):
    network = quantize(make_network(GRU(3, 7)), data(3), Recipe(weights="ternary"))
    header, model, payload = parts(encode(network))
    start = header["layer.0.r.x"]["data_offsets"][0]
    forged = payload[:start] + b"\xaa" + payload[start + 1 :]
    with pytest.raises(ModelFileError) as error:
        load_bytes(tmp_path, assemble(header, model, forged))
    assert str(error.value).endswith("Weights rnn.0.r.x must be ternary")


@pytest.mark.parametrize("value", [0, 1 << 15, 1 << 16, 3.5])
def test_forged_real_scales_are_refused(make_network, tmp_path, value):
    network = quantize(make_network(GRU(3, 7)), data(3), Recipe(scale="real"))
    header, model, payload = parts(encode(network))
    nodes = model["model"]["layers"][0]["nodes"]
    place = next(n for n, node in enumerate(nodes) if node["operation"] == "Scale")
    path = ("model", "layers", 0, "nodes", place, "multiplier")
    with pytest.raises(ModelFileError) as error:
        load_bytes(tmp_path, assemble(header, changed(model, path, value), payload))
    wanted = "a non-negative integer" if value == 3.5 else f"between 32768 and 65536, not {value}"
    assert wanted in str(error.value)


def test_is_an_ordinary_safetensors_file(network, tmp_path):
    path = tmp_path / "model.safetensors"
    save(network, path)
    tensors = safetensors.numpy.load_file(path)
    np.testing.assert_array_equal(tensors["layer.0.i.x"], network.layers[0].weights["i.x"])
    assert tensors["layer.0.i.x"].dtype == np.int8
    assert tensors["layer.1.r.x"].dtype == np.uint8
    with safetensors.safe_open(path, "numpy") as file:
        assert list(file.metadata()) == [KEY]


@pytest.mark.parametrize("bits", range(1, 49))
def test_packing(bits):
    rng = np.random.default_rng(bits)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    values = rng.integers(low, high, size=(5, 7), endpoint=True)
    values[0, :2] = low, high
    packed = pack(values, bits)
    assert packed.dtype == np.uint8
    assert packed.nbytes == packed_bytes(35, bits)
    np.testing.assert_array_equal(unpack(packed, bits, (5, 7)), values)


def test_packing_by_hand():
    """1, -1, -2 and 0 in two bits each, the first lowest: 00 10 11 01."""
    np.testing.assert_array_equal(pack(np.array([1, -1, -2, 0]), 2), [0b00101101])


def test_size(make_network, tmp_path):
    network = quantize(make_network(LSTM(64, 64)), data(64))
    sizes = model_bytes(network)
    assert sizes.weights == 4 * 64 * 128
    assert sizes.float32 == 4 * (4 * 64 * 128 + 4 * 64)
    assert sizes.total == sizes.weights + sizes.biases + sizes.tables
    assert sizes.tables == 512 * (32 + 36) // 8
    path = tmp_path / "model.safetensors"
    save(network, path)
    stored = safetensors.numpy.load_file(path)
    assert sum(values.nbytes for values in stored.values()) == sizes.total
    narrow = quantize(make_network(LSTM(64, 64)), data(64), Recipe(weights="int2"))
    assert model_bytes(narrow).weights == 64 * 128


def test_a_model_without_tables(make_network, tmp_path):
    network = quantize(make_network(ReluRNN(3, 2)), data(3))
    assert model_bytes(network).tables == 0
    save(network, tmp_path / "model")
    assert load(tmp_path / "model").layers[0].graph == network.layers[0].graph


def test_nothing_is_left_when_saving_fails(network, tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "missing" / "model"):
        with pytest.raises(DeltaloomError, match=f"Model file {path} must be writable: "):
            save(network, path)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_save_keeps_the_old_file_until_the_new_one_is_whole(network, tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    save(network, path)
    assert load(path).layers[0].name == "rnn.0"


REASON = "Model file {} must be a whole and unaltered Deltaloom model: "


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def foreign_files(folder):
    for protocol in range(2, 6):
        yield (
            pickle.dumps(Payload(folder / "ran"), protocol=protocol),
            "it is a pickle, which is never loaded because it can run code",
        )
    archive = folder / "archive.pt"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("data.pkl", b"")
    yield (
        archive.read_bytes(),
        "it is a zip archive, as torch.save writes it; its pickle is never loaded",
    )
    yield b"", "it is empty"
    yield b"hello, world", "it is no safetensors file"
    yield (
        b"\xff" * 7 + b"\x7f" + b"{}",
        "its header takes 9223372036854775807 bytes, more than 16777216",
    )
    yield (100).to_bytes(8, "little") + b"{}", "it ends within its header"
    yield (2).to_bytes(8, "little") + b"{}", "it is a safetensors file without one"
    yield (2).to_bytes(8, "little") + b"{]", "its header is not JSON"
    yield (
        safetensors.numpy.save({"a": np.zeros(3, dtype=np.float32)}),
        "it is a safetensors file without one",
    )
    nested = b'{"a":' * 100_000
    yield (
        len(nested).to_bytes(8, "little") + nested,
        "its header is nested too deeply",
    )


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    for content, reason in foreign_files(tmp_path):
        path.write_bytes(content)
        with pytest.raises(ModelFileError) as error:
            load(path)
        assert str(error.value) == REASON.format(path) + reason
    assert not (tmp_path / "ran").exists()


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(ModelFileError) as error:
        load(tmp_path / "none")
    assert str(error.value) == (
        f"Model file {tmp_path / 'none'} must be a readable file: No such file or directory"
    )
    with pytest.raises(ModelFileError, match="must be a readable file: Is a directory"):
        load(tmp_path)


@settings(FORGE, max_examples=150)
@given(position=st.integers(0, 1 << 20), flip=st.integers(1, 255))
def test_an_altered_byte_is_noticed(whole, tmp_path, position, flip):
    content = bytearray(whole)
    content[position % len(content)] ^= flip
    with pytest.raises(ModelFileError):
        load_bytes(tmp_path, bytes(content))


@settings(FORGE, max_examples=80)
@given(length=st.integers(0, 1 << 20))
def test_a_truncated_file_is_noticed(whole, tmp_path, length):
    with pytest.raises(ModelFileError):
        load_bytes(tmp_path, whole[: length % len(whole)])


@settings(FORGE, max_examples=30)
@given(more=st.binary(min_size=1, max_size=20))
def test_surplus_bytes_are_noticed(whole, tmp_path, more):
    with pytest.raises(ModelFileError):
        load_bytes(tmp_path, whole + more)


def values_of(tree, path=()):
    """Paths of every value in nested dictionaries and lists, inner nodes included."""
    if path:
        yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        if isinstance(value, dict | list):
            yield from values_of(value, (*path, key))
        else:
            yield (*path, key)


def changed(tree, path, value):
    tree = json.loads(json.dumps(tree))
    place = tree
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return tree


STRANGE = [
    None,
    0,
    1,
    3,
    -1,
    10**30,
    1.5,
    True,
    "",
    "x",
    "s16.15",
    "s1.0",
    "Mul",
    [],
    {},
    [0],
    [[0]],
]


@settings(FORGE, max_examples=200)
@given(choice=st.randoms(use_true_random=False), value=st.sampled_from(STRANGE))
def test_a_forged_model_is_refused_or_keeps_every_rule(whole, tmp_path, choice, value):
    """The checksum is right, the model is not: never anything but a ModelFileError."""
    header, model, payload = parts(whole)
    path = choice.choice(list(values_of(model)))
    try:
        network = load_bytes(tmp_path, assemble(header, changed(model, path, value), payload))
    except ModelFileError:
        return
    sequences = [np.zeros((2, network.input_size), dtype=np.int64)]
    run(network, sequences)


@settings(FORGE, max_examples=150)
@given(choice=st.randoms(use_true_random=False), value=st.sampled_from(STRANGE))
def test_a_forged_header_is_refused(whole, tmp_path, choice, value):
    header, model, payload = parts(whole)
    del header["__metadata__"]
    forged = changed(header, choice.choice(list(values_of(header))), value)
    if forged != header:
        with pytest.raises(ModelFileError):
            load_bytes(tmp_path, assemble(forged, model, payload))


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("version",), 1, "its version is 1, where 2 is supported"),
        (
            ("tensors", "layer.0.i.x", "shape"),
            [1 << 30, 1 << 30],
            "Tensor must have as many bytes as its bits say",
        ),
        (
            ("model", "layers", 0, "nodes", 3, "operation"),
            "Exec",
            "Node of Layer rnn.0 must be one of Input, State, Constant, Affine, Add, Sub, Mul, "
            "Activation, Rescale",
        ),
        (
            ("model", "layers", 0, "nodes", 4, "operand"),
            30,
            "Node rnn.0.i_s8_3 must read earlier nodes",
        ),
        (
            ("model", "layers", 0, "output"),
            99,
            "Output and next states of layer rnn.0 must be nodes",
        ),
        (
            ("model", "layers", 0, "name"),
            "rnn.1",
            "Layer names must differ, not be ['rnn.1', 'rnn.1', 'last', 'head']",
        ),
        (
            ("model", "layers", 1, "theta", "h"),
            256,
            "Threshold of rnn.1.h must be below its range, not 256",
        ),
        (("model", "layers", 1, "skip"), "zero", "Threshold of rnn.1.h must be 0 with skip zero"),
        (("model", "layers", 1, "skip"), "most", "'most' is not a valid Skip"),
        (("model", "layers", 1, "tables", "tanh0"), 7, "Layer rnn.1 must use tables of the file"),
        (("model", "tables", 0, "shift"), 0, "{} must stay within s8.7"),
    ],
)
def test_a_forged_rule_is_named(whole, tmp_path, path, value, reason):
    header, model, payload = parts(whole)
    with pytest.raises(ModelFileError) as error:
        load_bytes(tmp_path, assemble(header, changed(model, path, value), payload))
    opening, _, closing = reason.partition("{}")
    assert opening in str(error.value)
    assert closing in str(error.value)


@pytest.fixture
def knotted(make_network):
    """A file with tables of adaptive segments."""
    recipe = Recipe(tables="adaptive", segments=5, elementwise=8)
    return encode(quantize(make_network(GRU(3, 4)), data(3), recipe))


def test_adaptive_tables_come_back(knotted, tmp_path):
    again = load_bytes(tmp_path, knotted)
    assert encode(again) == knotted
    assert {len(table.knots) for table in again.computing[0].tables.values()} == {4}


@pytest.fixture
def activated(make_network):
    """A file with tables of a function with parameters, of one line, and of a user's own."""
    own = Function("cube", lambda x: x**3)
    cells = Linear(3, 4, "elu(0.3)"), Linear(4, 3, "linear(0.5)"), Linear(3, 2, own)
    network = quantize(make_network(*cells), data(3), Recipe(elementwise=8))
    assert [table.known for layer in network.computing for table in layer.tables.values()] == [
        True
    ] * 3
    return encode(network)


def test_functions_come_back_by_name(activated, tmp_path):
    """A user's own as its table alone."""
    again = load_bytes(tmp_path, activated)
    assert encode(again) == activated
    tables = [table for layer in again.computing for table in layer.tables.values()]
    names = ["elu(0.3, 1.0, 1.0)", "linear(0.5, 0.0)", "cube"]
    assert [table.function for table in tables] == names
    assert [table.known for table in tables] == [True, True, False]
    assert len(tables[1].base) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("elu(0.3)", "must name a function"),
        ("elu(0.3, 1.0, nan)", "must have at most 3 finite parameters"),
        ("elu(-0.3, 1.0, 1.0)", "Parameter alpha of elu must be from"),
        ("two words", "must have a function's name"),
    ],
)
def test_forged_functions_are_refused(activated, tmp_path, name, reason):
    header, model, payload = parts(activated)
    model = changed(model, ("model", "tables", 0, "function"), name)
    nodes = model["model"]["layers"][0]["nodes"]
    place = next(place for place, node in enumerate(nodes) if node["operation"] == "Activation")
    model = changed(model, ("model", "layers", 0, "nodes", place, "function"), name)
    with pytest.raises(ModelFileError, match=reason):
        load_bytes(tmp_path, assemble(header, model, payload))


@pytest.mark.parametrize(
    ("knots", "reason"),
    [
        ([-9, -9, 0, 5], "must ascend within"),
        ([0, -1, 2, 5], "must ascend within"),
        ([1, 2, 3, 127], None),
    ],
)
def test_forged_knots_are_refused(knotted, tmp_path, knots, reason):
    header, model, payload = parts(knotted)
    start, end = header["table.0.knots"]["data_offsets"]
    size = (end - start) // 4
    forged = b"".join(knot.to_bytes(size, "little", signed=True) for knot in knots)
    data = assemble(header, model, payload[:start] + forged + payload[end:])
    with pytest.raises(ModelFileError) as error:
        load_bytes(tmp_path, data)
    if reason:
        assert reason in str(error.value)


def test_segments_of_another_kind_are_refused(knotted, tmp_path):
    header, model, payload = parts(knotted)
    for kind, reason in (("uniform", "Tensors must all be used"), ("cubic", "uniform or adaptive")):
        path = ("model", "tables", 0, "segments")
        with pytest.raises(ModelFileError) as error:
            load_bytes(tmp_path, assemble(header, changed(model, path, kind), payload))
        assert reason in str(error.value)


def test_a_table_that_leaves_its_target_is_refused(whole, tmp_path):
    header, model, payload = parts(whole)
    start, end = header["table.0.base"]["data_offsets"]
    forged = payload[:start] + b"\xff\x7f" * ((end - start) // 2) + payload[end:]
    with pytest.raises(ModelFileError):
        load_bytes(tmp_path, assemble(header, model, forged))


def test_an_accumulator_that_could_overflow_is_refused(whole, tmp_path):
    header, model, payload = parts(whole)
    path = ("model", "layers", 0, "nodes", 3, "format")
    format = model["model"]["layers"][0]["nodes"][3]["format"]
    width, frac = format.removeprefix("s").split(".")
    narrow = f"s{int(width) - 1}.{frac}"
    with pytest.raises(ModelFileError) as error:
        load_bytes(tmp_path, assemble(header, changed(model, path, narrow), payload))
    assert "Accumulator of rnn.0.i must hold" in str(error.value)
    assert str(error.value).endswith(f"which {narrow} does not")


def test_initial_states_come_back(make_layer, tmp_path):
    initial = {"c": np.array([0.5, -0.25, 1.0]), "h": np.array([0.0, 0.125, -0.5])}
    layer = replace(make_layer("rnn.0", LSTM(2, 3)), initial=initial)
    network = quantize(Network((layer,)), data(2), Recipe())
    content = encode(network)
    again = load_bytes(tmp_path, content)
    assert encode(again) == content
    for name, values in network.layers[0].initial.items():
        np.testing.assert_array_equal(again.layers[0].initial[name], values)
    header, model, payload = parts(content)
    path = ("model", "layers", 0, "initial")
    for wrong in (["c", "m"], ["c", "c"], "c", ["c"]):
        with pytest.raises(ModelFileError):
            load_bytes(tmp_path, assemble(header, changed(model, path, wrong), payload))
