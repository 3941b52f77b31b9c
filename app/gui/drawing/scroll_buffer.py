"""An image that scrolls to the left without moving a pixel.

The rows lie one behind the other in one long array, and the image begins at an offset in it. Moving
the offset on by k shows every pixel k places further left; what then stands in the last k places of
a row comes from the beginning of the next row and must be drawn anew, as the newest columns must be
anyway. Only when the array's end is reached are the pixels moved back to its beginning.
"""

import numpy as np
import numpy.typing as npt

N_SPARE = 1 << 20
"""Pixels behind the image: 4 MB, so that moving back is rare."""


class ScrollBuffer:
    """Pixels as 0xAARRGGBB."""

    def __init__(self, width: int, height: int) -> None:
        self._shape = height, width
        self._memory = np.zeros(width * height + N_SPARE, np.uint32)
        self._offset = 0

    @property
    def pixels(self) -> npt.NDArray[np.uint32]:
        """Get the image, `(height, width)`: a view, valid until the next `scroll`."""
        height, width = self._shape
        return self._memory[self._offset : self._offset + height * width].reshape(self._shape)

    def scroll(self, n: int) -> None:
        """Show every pixel `n` places further left; the last `n` of each row are left undefined."""
        if self._offset + n > N_SPARE:
            self._memory[: self._memory.size - N_SPARE] = self.pixels.ravel().copy()
            self._offset = 0
        self._offset += n
