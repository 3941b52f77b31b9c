"""Why a handshake failed, in the words of whoever has to do something about it."""

import ssl

_NOT_THE_PEER = (
    "another certificate than the pinned one answers there: look at the address, and compare "
    "fingerprints on the telephone"
)
_VERIFY = {
    9: "its certificate is not valid yet: look at the clocks of both machines",
    10: "its certificate has expired: it needs a new key (or our clock is wrong)",
    18: _NOT_THE_PEER,
    19: _NOT_THE_PEER,
    20: _NOT_THE_PEER,
    21: _NOT_THE_PEER,
}
"""By OpenSSL's X509_V_ERR_*, `man openssl-verification-options`."""
_ALERTS = {
    "ALERT_CERTIFICATE_EXPIRED": "our certificate has expired, says the other side: make and "
    "exchange a new key (or its clock is wrong)",
    "ALERT_UNKNOWN_CA": "our certificate is not pinned over there: it needs `spikebridge trust`",
    "ALERT_BAD_CERTIFICATE": "our certificate is refused by the other side, perhaps because it is "
    "not valid yet by its clock",
    "WRONG_VERSION_NUMBER": "what answers there does not speak TLS 1.3: look at the address",
}


def why_failed(exc: Exception) -> str:
    """Return the sentence to show for what ended a connection."""
    words = str(exc) or type(exc).__name__
    if isinstance(exc, ssl.SSLCertVerificationError):
        said = _VERIFY.get(exc.verify_code)
        return words if said is None else f"{said} [{exc.verify_message}]"
    if isinstance(exc, ssl.SSLError):
        reason = exc.reason or ""
        for name, said in _ALERTS.items():
            if reason.endswith(name):
                return f"{said} [{reason}]"
    return words
