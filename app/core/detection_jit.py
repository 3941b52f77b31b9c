"""How the parts of the detection kernel are compiled.

They take part in no reference counting: nothing in the kernel allocates or keeps an array, and the
counting would cost more than the search of a quiet block. Only the kernel's entries are called from
Python, so the parts need no wrappers for it.
"""

from typing import Any

import numba as nb

from app.core.compile_cache import cached_njit

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
_NO_WRAPPERS: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

compiled = nb.njit(**_OPTIONS, **_NO_WRAPPERS)
contracted = nb.njit(fastmath={"contract"}, **_OPTIONS, **_NO_WRAPPERS)
"""For the filter: a product and a sum in one instruction. Each sum has one product, so that all
ways through the same formula round alike."""
entry = cached_njit(**_OPTIONS)
inlined = nb.njit(inline="always", **_OPTIONS)
"""For what is called in one place or in an inner loop; it is not compiled by itself."""
