"""Number types of the configuration: every value has its range in its type.

The range says what can be meant at all; what is *allowed* stands in `limits` and is the Gate's.
"""

from typing import Annotated

from msgspec import Meta

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
"""A name that is also safe as a file name: letters, digits, `_ . -`, at most 63."""
Text = Annotated[str, Meta(min_length=1, max_length=2000)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Port = Annotated[int, Meta(ge=0, le=65535)]
NeuronId = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
SynapseId = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
"""Ids are unique in the experiment and 32 bit on the wire."""
PatternId = Annotated[int, Meta(ge=1, le=8)]
"""Number of a prepared stimulation: RHX has eight keys."""
Line = Annotated[int, Meta(ge=1, le=1024)]
"""A word line or bit line, counted from 1."""
