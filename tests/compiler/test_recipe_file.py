import pytest

from deltaloom.compiler.errors import DeltaloomError
from deltaloom.compiler.recipe import Recipe


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe("ternary", "int4", scale="real", rounding="stochastic", seed=7, max_loss=0.25),
        Recipe(
            skip="delta",
            theta={"rnn.0": {"x": 2, "h": 0}, "rnn.1": {}},
            paths={
                "rnn.0.*.h": {"weights": "int16", "scale": "real"},
                "[rl]nn.\\?.'\"x": {"activations": "int5"},
                "*": {"weights": "int3"},
            },
            state_limits={"lstm.0.c": 0.1, "*": 64},
            operand_limits={"*.x": 4, "lstm.0.x": 0.5},
            output=8,
            segments=16,
            tables="adaptive",
            knots="squares",
        ),
    ],
)
def test_reads_what_it_wrote(tmp_path, recipe):
    path = tmp_path / "recipe.toml"
    recipe.save(path)
    found = Recipe.load(path)
    assert found == recipe
    assert list(found.paths) == list(recipe.paths)  # later patterns override earlier ones
    assert [file.name for file in tmp_path.iterdir()] == ["recipe.toml"]


def test_writes_what_is_not_the_default(tmp_path):
    path = tmp_path / "recipe.toml"
    Recipe(weights="int4", skip="delta", paths={"rnn.0.h": {"activations": "int16"}}).save(path)
    assert path.read_text() == (
        'weights = "int4"\nskip = "delta"\n\n[paths."rnn.0.h"]\nactivations = "int16"\n'
    )


def test_refuses_a_place_that_is_not_writable(tmp_path):
    path = tmp_path / "missing" / "recipe.toml"
    with pytest.raises(DeltaloomError) as error:
        Recipe().save(path)
    assert str(error.value) == f"Recipe {path} must be writable: No such file or directory"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"weight = 'int8'",
            "Recipe {} must have keys of weights, activations, skip, theta, k, clip, paths, "
            "state_limits, operand_limits, elementwise, activation_error, tables, knots, segments, "
            "output, scale, rounding, seed, max_loss, not 'weight'",
        ),
        (b"weights = ", "Recipe {} must be valid TOML: Invalid value (at end of document)"),
        (b"a = " + b"[" * 5000, "Recipe {} must be valid TOML: it is nested too deeply"),
        (b"#" * (1 << 20) + b"#", "Recipe {} must be a file of at most 1,048,576 bytes"),
        (b"skip = 'some'", "Recipe skip must be one of none, zero, delta, top_k, not 'some'"),
        (None, "Recipe {} must be a readable file: No such file or directory"),
    ],
)
def test_refuses_files(tmp_path, content, sentence):
    path = tmp_path / "recipe.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DeltaloomError) as error:
        Recipe.load(path)
    assert str(error.value) == sentence.format(path)


def test_refuses_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DeltaloomError, match="must be valid TOML"):
        Recipe.load(path)
