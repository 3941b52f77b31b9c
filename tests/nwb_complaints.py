"""What readers of NWB find wrong with a file. No tests in here."""

import warnings
from pathlib import Path


def complaints(path: Path) -> list[str]:
    """Return each message of pynwb's validator and of nwbinspector."""
    from nwbinspector import inspect_nwbfile
    from pynwb import validate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [str(error) for error in validate(path=str(path))]
        found += [
            f"{m.check_function_name}: {m.message}" for m in inspect_nwbfile(nwbfile_path=path)
        ]
    return found
