"""`check`, and the same questions before every start: whether files fit together."""

import argparse
from pathlib import Path

from app.commands.guarded import say
from app.commands.key_check import key_conflicts, key_warnings
from app.config.check import check_experiment, check_site, check_together
from app.config.electrode_map import map_conflicts
from app.config.experiment import experiment_hash
from app.config.load import ConfigError, is_site_file, load_experiment
from app.config.site import Site
from app.exit_codes import ExitCode
from app.signed_site import SignedSite, limits_in_words, load_signed_site


def check(arguments: argparse.Namespace) -> int:
    """Validate files together; ask each instrument whether it answers."""
    site_files = [path for path in arguments.files if is_site_file(path)]
    signed_sites = [load_signed_site(path, is_mock=True) for path in site_files]
    sites = list(zip(site_files, (signed.site for signed in signed_sites), strict=True))
    experiments = [load_experiment(p) for p in arguments.files if p not in site_files]
    conflicts = [c for signed in signed_sites for c in signed.conflicts]
    conflicts += [
        c for path, site in sites for c in (*check_site(site), *map_conflicts(path, site))
    ]
    for experiment in experiments:
        say(f"experiment {experiment.name!r}: {experiment_hash(experiment)}")
        conflicts += check_experiment(experiment)
        conflicts += check_together(experiment, [site for _, site in sites])
    conflicts += _rig_conflicts([site for _, site in sites])
    conflicts += [c for path, site in sites for c in key_conflicts(path, site)]
    for sentence in conflicts:
        say(f"conflict: {sentence}")
    for path, site in sites:
        for warning in key_warnings(path, site):
            say(f"warning: {warning}")
    for sentence in (s for signed in signed_sites for s in limits_in_words(signed)):
        say(sentence)
    is_well = True
    if not (arguments.offline or conflicts):
        answers = [_instruments_answer(path, site) for path, site in sites]  # ask every one
        is_well = all(answers)
    if conflicts:
        return ExitCode.FAILED
    say("no conflicts")
    return ExitCode.OK if is_well else ExitCode.INSTRUMENT


def checked_site(path: Path, *, is_mock: bool) -> SignedSite:
    """Return a site that may start. Raises ConfigError with every conflict."""
    signed = load_signed_site(path, is_mock=is_mock)
    refuse([f"{path}: {c}" for c in signed.conflicts])
    site = signed.site
    conflicts = [*check_site(site), *map_conflicts(path, site), *_rig_conflicts([site])]
    refuse([f"{path}: {c}" for c in conflicts])
    return signed


def refuse(conflicts: list[str]) -> None:
    """Raise ConfigError if there are conflicts."""
    if conflicts:
        raise ConfigError("; ".join(conflicts))


def _rig_conflicts(sites: list[Site]) -> list[str]:
    from app.instruments import limit_conflicts  # noqa: PLC0415

    return [sentence for site in sites for sentence in limit_conflicts(site)]


def _instruments_answer(path: Path, site: Site) -> bool:
    from app.instruments import probe_instruments  # noqa: PLC0415

    answers = probe_instruments(path, site)
    for answer in answers:
        say(f"site {site.site}, {answer.instrument}: {answer.sentence}")
    return all(answer.is_well for answer in answers)
