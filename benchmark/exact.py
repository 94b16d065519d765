"""Arithmetic that is equal to the bit on every CPU: elementary functions, and random numbers.

IEEE 754 prescribes every bit of +, -, *, / and the square root; numpy computes them one by one, so that nothing is
fused. It prescribes nothing of exp, log, sine and powers, and a library may choose another implementation on each CPU;
matrix products and sums may add in any order. What the project draws must be equal everywhere, and is computed by what
stands here: polynomials in float64, right to about one unit in the last place.
"""

import hashlib
import math
from typing import Any

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float64]

_LN2 = (0.693147180369123816490, 1.90821492927058770002e-10)
"""log(2) in two parts, the first with so few digits that whole multiples of it are exact (fdlibm's)."""
_TURN = 6.283185307179586
_EXP = [1 / math.factorial(k) for k in range(15)]
_SINE = [(-1) ** k / math.factorial(2 * k + 1) for k in range(9)]
_COSINE = [(-1) ** k / math.factorial(2 * k) for k in range(9)]
_LOG = [2 / (2 * k + 1) for k in range(12)]


def exp(x: npt.ArrayLike) -> Field:
    """The exponential function of values in [-700, 700]; what is smaller or larger counts as the limit."""
    value = np.clip(np.asarray(x, dtype=np.float64), -700.0, 700.0)
    power = np.rint(value / _LN2[0])
    rest = (value - power * _LN2[0]) - power * _LN2[1]
    return np.ldexp(_polynomial(_EXP, rest), power.astype(np.int32))


def log(x: npt.ArrayLike) -> Field:
    """The natural logarithm of positive values."""
    part, power = np.frexp(np.asarray(x, dtype=np.float64))
    small = part < np.sqrt(0.5)
    part, power = np.where(small, part + part, part), power - small
    ratio = (part - 1.0) / (part + 1.0)  # log(part) = 2 artanh(ratio), and |ratio| < 0.172.
    return power * _LN2[0] + (ratio * _polynomial(_LOG, ratio * ratio) + power * _LN2[1])


def power(x: npt.ArrayLike, exponent: npt.ArrayLike) -> Field:
    """Positive values, raised to a power."""
    return exp(log(x) * np.asarray(exponent, dtype=np.float64))


def circle(turns: npt.ArrayLike) -> tuple[Field, Field]:
    """Cosine and sine of angles in full turns: 0.25 is a right angle."""
    value = np.asarray(turns, dtype=np.float64)
    quarter = np.rint(value * 4.0)
    angle = (value - quarter / 4.0) * _TURN  # Within an eighth of a turn.
    square = angle * angle
    cosine, sine = _polynomial(_COSINE, square), angle * _polynomial(_SINE, square)
    which = quarter.astype(np.int64) & 3
    return (
        np.choose(which, (cosine, -sine, -cosine, sine)),
        np.choose(which, (sine, cosine, -sine, -cosine)),
    )


def wave(turns: npt.ArrayLike) -> Field:
    """The sine of angles in full turns."""
    return circle(turns)[1]


def gaussian(first: Field, second: Field) -> tuple[Field, Field]:
    """Pairs of independent standard normal numbers (Box and Muller 1958).

    Args:
        first: Uniform in (0, 1], any shape.
        second: Uniform in [0, 1), of the same shape.

    Returns:
        Two arrays of that shape.
    """
    radius = np.sqrt(-2.0 * log(first))
    cosine, sine = circle(second)
    return radius * cosine, radius * sine


class Draws:
    """Random numbers that depend on a key alone: `Draws(seed, "toy_lesions", "TOY_0000001")`.

    Only the bits come from numpy, which promises them for all versions; what is made of them stands here.

    Args:
        *key: What the numbers are for; parts count by their text.
    """

    def __init__(self, *key: object) -> None:
        name = "\x1f".join(str(part) for part in key)
        self._bits = np.random.PCG64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big"))

    def random(self, *shape: int) -> Field:
        """Uniform in [0, 1), of 53 bits, in an array of that shape; of none, an array of no dimension."""
        raw: npt.NDArray[np.uint64] = self._bits.random_raw(math.prod(shape))
        return ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(shape)

    def uniform(self, low: float, high: float, *shape: int) -> Any:
        """Uniform in [low, high): a number, or an array of that shape."""
        return _plain(low + (high - low) * self.random(*shape))

    def normal(self, mean: float, deviation: float, *shape: int) -> Any:
        """Normal: a number, or an array of that shape."""
        count = math.prod(shape)
        both = gaussian(1.0 - self.random(-(-count // 2)), self.random(-(-count // 2)))
        return _plain(mean + deviation * np.concatenate(both)[:count].reshape(shape))

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit - 1`."""
        return int(self.random() * limit)

    def happens(self, probability: float) -> bool:
        """Whether something of this probability happens."""
        return bool(self.random() < probability)

    def choice(self, *values: float) -> float:
        """One of the values, each as likely as the others."""
        return values[self.below(len(values))]

    def poisson(self, mean: float) -> int:
        """How often something happened that happens `mean` times on average (Knuth's product of uniform numbers)."""
        number, left, limit = 0, float(self.random()), float(exp(-mean))
        while left > limit:
            number, left = number + 1, left * float(self.random())
        return number

    def shuffled(self, count: int) -> npt.NDArray[np.int64]:
        """The numbers from 0 to `count - 1` in random order."""
        raw: npt.NDArray[np.uint64] = self._bits.random_raw(count)
        return np.argsort(raw, kind="stable")


def _plain(values: Field) -> Any:
    return values if values.ndim else float(values)


def _polynomial(coefficients: list[float], x: Field) -> Field:
    """The sum of coefficients[k] x^k."""
    value = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value
