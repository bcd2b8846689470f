from deltaloom.bench import g2p


def result(wide, narrow):
    return {
        "int8": {
            "words": 2000,
            "words_in_hardware": 200,
            "float": 10.0,
            "integers": wide,
            "equal_words": 0.97,
            "hardware": 10.2,
            "float_of_the_same": 10.3,
            "simulator": "cxxrtl",
            "cycles": 17_000_000,
        },
        "int6": {"integers": narrow, "equal_words": 0.9},
    }


def test_figures_say_what_is_missed():
    rows = g2p.figures(result(10.05, 10.25))
    assert [row.met for row in rows] == [True, False, True]
    assert rows[0].measured.startswith("0.05 (10.05 % of 2,000 words, float 10.00 %; 97.0%")
    assert "17,000,000 cycles of 200 words" in rows[2].measured


def test_a_row_says_how_its_weights_are_rounded():
    rows = g2p.figures(result(10.05, 10.25))
    assert rows[0].what.endswith(", g2p-en, W8A8")
    assert rows[1].what.endswith(", g2p-en, W6A8, compensated rounding")
