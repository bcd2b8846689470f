from deltaloom.bench import digits_trained


def test_figures():
    rows = [
        {
            "cell": "GRU",
            "weights": weights,
            "seeds": [{"float": 99, "before": 90, "after": right} for right in after],
        }
        for weights, after in (("binary", (98, 99)), ("shift3", (98, 99)), ("int3", (99, 100)))
    ]
    binary, shift, rival = digits_trained.figures({"clips": 100, "rows": rows})
    assert binary.reach == "at most 0.8"
    assert binary.measured == (
        "0.50 (98.50 (98.00 to 99.00) %, before training 90.00 (90.00 to 90.00) %, float 99.00 "
        "(99.00 to 99.00) %; 2 seeds)"
    )
    assert binary.met
    assert shift.reach == "at most 0.3 and at most 0.3 more than int3"
    assert not shift.met
    assert rival.met is None


def test_scales_are_real_for_few_levels():
    assert digits_trained.recipe("binary").scale == "real"
    assert digits_trained.recipe("int3").scale == "power-of-two"
