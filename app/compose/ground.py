"""What every builder of an engine's parts stands on: the files, the rig, the engine itself."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.config.experiment import Experiment
from app.config.site import Site
from app.core.spikes import Provenance
from app.engine.engine import Engine
from app.instruments import Rig
from app.recording.disk import Disk


@dataclass(frozen=True, slots=True)
class EngineFiles:
    """The two files an engine was started with, as bytes and as what they say."""

    site_file: Path
    site: Site
    site_bytes: bytes
    experiment: Experiment | None = None
    experiment_bytes: bytes = b""
    override_bytes: bytes = b""
    """The limits override file; empty: there is none."""
    limits_until: dt.datetime | None = None
    """When the first signature under a limit ends."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What exists before the first part is made. `rig` is open."""

    files: EngineFiles
    rig: Rig
    engine: Engine
    experiment_hash: str
    """Empty: there is no experiment."""
    provenance: Mapping[str, Provenance]
    """By instrument: live, mock or playback."""
    is_dry_run: bool = False
    """The rig's actuators are recorders: what is permitted is no dose."""
    disk: Disk = field(default_factory=Disk)

    @property
    def site(self) -> Site:
        """Get the site."""
        return self.files.site

    @property
    def experiment(self) -> Experiment | None:
        """Get the experiment; None: the site runs by itself."""
        return self.files.experiment
