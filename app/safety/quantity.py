"""A value with its unit, as a refusal says it: `3.2 uA`, `5 ms`."""

import math

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"))


def amount(value: float, unit: str) -> str:
    """Return the value with an SI prefix and its unit, in four digits; ASCII only.

    Compound units (`C/m2`) and plain counts (`""`) take no prefix.
    """
    if not math.isfinite(value) or value == 0 or not unit or "/" in unit:
        return f"{value:.4g} {unit}".rstrip()
    size = abs(value)
    for factor, prefix in _PREFIXES:
        if size >= factor * 0.9999999:
            return f"{value / factor:.4g} {prefix}{unit}"
    return f"{value / 1e-12:.4g} p{unit}"
