import numpy as np

from deltaloom.bench import digits
from deltaloom.bench.data import Clips


def test_correct():
    clips = Clips([np.zeros((2, 13)), np.zeros((3, 13))], np.array([1, 1]))
    assert digits.correct(lambda features: [np.eye(3)[len(f) - 2] for f in features], clips) == 1


def test_figures():
    rows = [
        {"weights": 8, "activations": 8, "test": 98, "validation": 99},
        {"weights": 4, "activations": 4, "test": 100, "validation": 99},
    ]
    clips, floats = {"test": 100, "validation": 100}, {"test": 99, "validation": 99}
    asked, other = digits.figures({"clips": clips, "float": floats, "quantized": rows})
    assert asked.measured == "1.00 (98.00 % of 100 clips, float 99.00 %)"
    assert asked.met is False
    assert other.measured.startswith("-1.00")
    assert other.met is None
