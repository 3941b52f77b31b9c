"""The sound device, if there is one."""

from typing import Protocol

from app.gui.drawing.spike_sound import SOUND_RATE_HZ

N_BYTES_PER_SAMPLE = 2
BUFFER_S = 0.25
"""It is filled ten times a second."""
NO_DEVICE = (
    "no sound device found. On Linux the window plays through a PulseAudio or PipeWire server of "
    "the user who runs it; docs/window.md names the packages"
)


class NoSoundError(Exception):
    """There is nothing to play on; the message says why."""


class AudioOutput(Protocol):
    """A device that plays mono int16 at `SOUND_RATE_HZ`."""

    def n_free(self) -> int:
        """Return how many samples it would take now without waiting."""
        ...

    def write(self, sound: bytes) -> None:
        """Play samples after those already given."""
        ...

    def failure(self) -> str:
        """Say why nothing can be played any more; empty while all is well."""
        ...

    def set_volume(self, share: float) -> None:
        """Set how loud, 0 to 1."""
        ...

    def close(self) -> None:
        """Fall silent and let go of the device."""
        ...


def open_audio_output() -> AudioOutput:
    """Open the default device; raise NoSoundError if QtMultimedia or a device is missing."""
    try:
        from PyQt6 import QtMultimedia  # noqa: PLC0415 - needs libraries that a rig may not have
    except ImportError as exc:
        raise NoSoundError(
            f"QtMultimedia cannot be loaded ({exc}); docs/window.md names the packages"
        ) from exc
    device = QtMultimedia.QMediaDevices.defaultAudioOutput()
    if device.isNull():
        raise NoSoundError(NO_DEVICE)
    wanted = QtMultimedia.QAudioFormat()
    wanted.setSampleRate(SOUND_RATE_HZ)
    wanted.setChannelCount(1)
    wanted.setSampleFormat(QtMultimedia.QAudioFormat.SampleFormat.Int16)
    if not device.isFormatSupported(wanted):
        raise NoSoundError(
            f"{device.description()} does not play {SOUND_RATE_HZ} Hz mono 16 bit; "
            "choose another default device"
        )
    return _QtOutput(QtMultimedia.QAudioSink(device, wanted))


class _QtOutput:
    def __init__(self, sink: "QtMultimedia.QAudioSink") -> None:  # type: ignore[name-defined] # noqa: F821
        self._sink = sink
        sink.setBufferSize(round(BUFFER_S * SOUND_RATE_HZ) * N_BYTES_PER_SAMPLE)
        self._device = sink.start()
        if self._device is None:
            raise NoSoundError(f"the sound device does not start: {sink.error().name}")

    def n_free(self) -> int:
        return int(self._sink.bytesFree()) // N_BYTES_PER_SAMPLE

    def write(self, sound: bytes) -> None:
        self._device.write(sound)

    def failure(self) -> str:
        # A device that has run dry says so as an error too; it goes on with the next sound.
        error = self._sink.error().name
        if error in ("NoError", "UnderrunError"):
            return ""
        return f"the sound device is gone ({error})"

    def set_volume(self, share: float) -> None:
        self._sink.setVolume(share)

    def close(self) -> None:
        self._sink.stop()
