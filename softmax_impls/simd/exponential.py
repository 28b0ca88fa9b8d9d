"""The exponential of a vector, for the forward pass: accurate to a unit in the last place.

exp(x) = 2^k exp(r), where k is the integer nearest to x / ln 2, so |r| ≤ ln 2 / 2; exp(r) is a polynomial.

Softmax divides the exponentials by their sum, so a constant factor does not change the result. The factor 2^SCALE keeps
all exponentials in the range of normal numbers. So a subnormal probability is rounded only once, by the division.

To find k, a large number is added to x / ln 2, so that the sum is rounded to an integer. The large number contains
SCALE and the bias of the exponent. So the lowest bits of the sum are k + SCALE + bias: the exponent of 2^(k + SCALE).
"""

from softmax_impls.simd import vectors as vec
from softmax_impls.simd.vectors import Pointer, Vector

SCALE = 64
LOG2E = 1.4426950408889634
# For float64 and float32: where x is less than the first number, exp(x) rounds to 0. The second number is the large
# number that is added, with SCALE and the exponent's bias. The sum of the last two is ln 2; k times the third is exact.
FLOAT64 = -745.2, 1.5 * 2.0**52 + 1023 + SCALE, 0.69314718055989033, 5.497923018708371e-14
FLOAT32 = -104.0, 1.5 * 2.0**23 + 127 + SCALE, 0.693145751953125, 1.4286068203094172e-06


def exp(like: Pointer, x: Vector) -> Vector:
    """Return 2^SCALE exp(x) for a vector of the dtype of `like`, where x ≤ 0; NaN where x is NaN."""
    lowest, bias, ln2, ln2_rest = FLOAT64 if vec.lanes(like) == 8 else FLOAT32
    t = x * vec.broadcast(like, LOG2E) + vec.broadcast(like, bias)
    k = t - vec.broadcast(like, bias)
    r = (x - k * vec.broadcast(like, ln2)) - k * vec.broadcast(like, ln2_rest)
    q = _polynomial(like, r, r * r)
    power = vec.power_of_two(t)
    e = power + power * (r + r * r * q)
    return vec.select(vec.broadcast(like, lowest) > x, vec.broadcast(like, 0.0), e)


def _polynomial(like: Pointer, r: Vector, r2: Vector) -> Vector:
    """Return (exp(r) - 1 - r) / r².

    `r2` is r². With these minimax coefficients, the relative error of exp(r) is at most 0.07 units of rounding. It is
    at most 0.02 units for r < -0.28, where errors of rounding are largest. In float64, pairs of terms are computed side
    by side, which took 0.9 of the time of one term after another.
    """
    if vec.lanes(like) == 8:
        q = vec.broadcast(like, 2.479093187460344e-08) * r + vec.broadcast(like, 2.762997494472307e-07)
        q = q * r2 + (vec.broadcast(like, 2.7558246351825636e-06) * r + vec.broadcast(like, 2.4801493868261386e-05))
        q = q * r2 + (vec.broadcast(like, 0.00019841268773091328) * r + vec.broadcast(like, 0.0013888888942867649))
        q = q * r2 + (vec.broadcast(like, 0.008333333333826453) * r + vec.broadcast(like, 0.041666666666533486))
        return q * r2 + (vec.broadcast(like, 0.1666666666666592) * r + vec.broadcast(like, 0.500000000000001))
    q = vec.broadcast(like, 0.0013612756738439202) * r + vec.broadcast(like, 0.008369200862944126)
    q = q * r + vec.broadcast(like, 0.04167166352272034)
    q = q * r + vec.broadcast(like, 0.16666515171527863)
    return q * r + vec.broadcast(like, 0.4999998211860657)
