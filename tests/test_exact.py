"""Exact arithmetic: as good as the library's, and random numbers of the right distributions."""

import math
from decimal import Decimal

import numpy as np
import pytest

from benchmark.exact import Draws, circle, exp, gaussian, log, power, wave

ULP = 2.0**-52


def test_functions_are_right_to_a_few_units_in_the_last_place() -> None:
    values = np.linspace(-40, 40, 20001)
    assert np.abs(exp(values) / np.exp(values) - 1).max() < 4 * ULP
    positive = np.exp(np.linspace(-300, 300, 20001))
    assert np.abs(log(positive) - np.log(positive)).max() < 4 * ULP * 300
    near = 1 + np.linspace(-1e-3, 1e-3, 2001)
    exact = [float(Decimal(value).ln()) for value in near.tolist()]  # A library's own errors differ between CPUs.
    assert np.abs(log(near) - exact).max() <= 1.5 * 2.0**-62, "of numbers up to 1e-3, whose last place is 2^-62"
    assert np.abs(power(positive, 0.25) / positive**0.25 - 1).max() < 100 * ULP
    turns = np.linspace(-3, 3, 24001)
    cosine, sine = circle(turns)
    assert np.abs(cosine - np.cos(2 * np.pi * turns)).max() < 20 * ULP
    assert np.abs(sine - np.sin(2 * np.pi * turns)).max() < 20 * ULP


def test_special_values() -> None:
    assert (float(exp(0)), float(log(1)), float(wave(0.25)), float(power(4, 0.5))) == (1, 0, 1, 2)
    assert [float(value) for pair in zip(*circle([0, 0.25, 0.5]), strict=True) for value in pair] == [1, 0, 0, 1, -1, 0]
    assert 0 < float(exp(-1e9)) < 1e-300


def test_pairs_of_normal_numbers_are_box_and_mullers() -> None:
    first, second = np.array([0.3, 1.0]), np.array([0.7, 0.2])
    for found, turn in zip(gaussian(first, second), (np.cos, np.sin), strict=True):
        assert found == pytest.approx(np.sqrt(-2 * np.log(first)) * turn(2 * np.pi * second), abs=1e-15)


def test_draws_depend_on_every_part_of_their_key() -> None:
    keys = [(0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a", 2), (0, "a1")]
    first = [float(Draws(*key).random()) for key in keys]
    assert len(set(first)) == len(keys)
    assert first == [float(Draws(*key).random()) for key in keys]


def test_distributions() -> None:
    draws, count = Draws("distributions"), 40000
    uniform, normal = draws.uniform(-1, 3, count), draws.normal(2, 0.5, count)
    assert (uniform.min() >= -1, uniform.max() < 3) == (True, True)
    assert uniform.mean() == pytest.approx(1, abs=4 * 4 / math.sqrt(12 * count))
    assert normal.mean() == pytest.approx(2, abs=4 * 0.5 / math.sqrt(count))
    assert normal.std() == pytest.approx(0.5, rel=0.02)
    assert (np.abs(normal - 2) < 0.5 * 1.96).mean() == pytest.approx(0.95, abs=0.005)
    assert np.mean([draws.poisson(3.5) for _ in range(4000)]) == pytest.approx(3.5, abs=0.12)
    assert np.bincount([draws.below(4) for _ in range(4000)], minlength=4) == pytest.approx(1000, abs=120)
    assert np.mean([draws.happens(0.2) for _ in range(4000)]) == pytest.approx(0.2, abs=0.026)
    assert sorted({draws.choice(2, 3, 5) for _ in range(100)}) == [2, 3, 5]


def test_shapes() -> None:
    draws = Draws("shapes")
    assert (draws.random(2, 3).shape, draws.normal(0, 1, 3, 1, 5).shape) == ((2, 3), (3, 1, 5))
    assert isinstance(draws.uniform(0, 1), float)
    assert isinstance(draws.normal(0, 1), float)
    order = draws.shuffled(50)
    assert sorted(order) == list(range(50))
    assert list(order) != list(range(50))
