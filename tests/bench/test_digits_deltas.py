import copy

import pytest

from deltaloom.bench import digits_deltas

ROW = {
    "float": 297,
    "tuned": 296,
    "activity": {
        "operations_eliminated": 0.87,
        "temporal_sparsity": {"x": 0.5, "h": 0.9, "together": 0.8},
    },
}


@pytest.mark.parametrize(
    ("change", "met"),
    [({}, True), ({"tuned": 294}, False), ({"activity": {"operations_eliminated": 0.84}}, False)],
)
def test_figures(change, met):
    second = copy.deepcopy(ROW)
    second["activity"] |= change.pop("activity", {})
    second |= change
    rows = [{"test": ROW}, {"test": second}]
    result = {"thresholds": {"GRU": [30, 36]}, "clips": {"test": 300}, "rows": {"GRU": rows}}
    (figure,) = digits_deltas.figures(result)
    assert figure.what.endswith("GRU-64, W8A8, deltas trained in, thresholds 30 and 36")
    assert figure.reach == "86 % at no more than 0.5 points lost"
    assert figure.met is met


def test_recipes_name_the_operands_of_the_cell():
    theta = digits_deltas.recipe("LiGRU").theta
    assert list(theta) == ["ligru.0"]
    assert list(theta["ligru.0"]) == ["x", "h"]
