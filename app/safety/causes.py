"""Whether a request's cause may move anything here: how real it is, whence it came, how old."""

from app.core.spikes import Provenance
from app.safety.leases import link_lease
from app.safety.quantity import amount
from app.safety.requests import CauseKind, Refusal, RefusalReason, Request
from app.safety.state import Arming


def refuse_provenance(request: Request, *, refuses_simulated: bool) -> Refusal | None:
    """Return why a cause that is not real may not reach a living culture, or None."""
    cause = request.cause
    if cause.provenance is Provenance.LIVE or not refuses_simulated:
        return None
    return Refusal(
        RefusalReason.PROVENANCE,
        f"{request.instrument}: a live culture, and the cause from {cause.site} is "
        f"{cause.provenance}, allowed are live causes only; set accepts_simulated in the "
        "site file if simulated spikes may drive this culture",
    )


def refuse_link(request: Request, arming: Arming) -> Refusal | None:
    """Return why a cause of another site does not count now, or None."""
    site = request.cause.site
    if site == arming.site or link_lease(site) in arming.fresh:
        return None
    lease = arming.leases.get(link_lease(site))
    allowed = (
        f"a link renewed within the last {amount(lease.limit_ns / 1e9, 's')}"
        if lease is not None
        else "sites with a link"
    )
    return Refusal(
        RefusalReason.LINK_STALE,
        f"{request.instrument}: the link to {site} is stale, allowed {allowed}; look at the link",
    )


def refuse_age(request: Request, now_ns: int) -> Refusal | None:
    """Return why a request comes too late for its cause, or None. A PSP always has a deadline."""
    waited_ns = now_ns - request.made_ns
    deadline_ns = request.deadline_ns
    if deadline_ns is None:
        if request.cause.kind is not CauseKind.PSP:
            return None
        found, allowed = "a PSP without a deadline", "with its synapse's deadline"
    elif request.age_bound_ns is None:
        found, allowed = "age not known", f"up to {amount(deadline_ns / 1e9, 's')}"
    elif not (min(request.age_bound_ns, waited_ns) >= 0):
        found, allowed = "an age or a waiting time below 0", "times that have been"
    elif not (request.age_bound_ns + waited_ns <= deadline_ns):
        found = f"up to {amount((request.age_bound_ns + waited_ns) / 1e9, 's')} old"
        allowed = f"up to {amount(deadline_ns / 1e9, 's')}"
    else:
        return None
    return Refusal(
        RefusalReason.LATE,
        f"{request.instrument}, cause from {request.cause.site}: {found}, allowed {allowed}; "
        "look at the link's delay or raise the synapse's deadline",
    )
