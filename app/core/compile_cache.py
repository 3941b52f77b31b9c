"""Where compiled kernels are kept from one start to the next, and what if that is nowhere."""

import logging
from collections.abc import Callable
from typing import Any

import numba as nb

log = logging.getLogger(__name__)


def cached_njit(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return `numba.njit(cache=True)`, which compiles at each start where nothing can be written.

    numba itself refuses there: beside the source files (an installation that only root may write),
    in `$NUMBA_CACHE_DIR`, and in the user's cache folder (a service without a home).
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            kernel: Callable[..., Any] = nb.njit(cache=True, **options)(function)
        except RuntimeError as exc:
            log.warning("every start compiles anew: %s; set NUMBA_CACHE_DIR", exc)
            kernel = nb.njit(**options)(function)
        return kernel

    return decorate
