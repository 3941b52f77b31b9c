"""What is said about the end of a certificate, in the same words wherever it is said."""

WARN_DAYS = 60
"""An expired certificate is refused; that it will expire is shown this long before."""


def expiry_warning(what: str, left_days: float) -> str:
    """Return the sentence to show about a certificate's end; empty more than 60 days before."""
    if left_days > WARN_DAYS:
        return ""
    if left_days <= 0:
        return f"{what} has expired: its links are refused; make and exchange a new key"
    n_days = round(left_days)
    left = "less than a day" if left_days < 1 else f"{n_days} day{'s' if n_days > 1 else ''}"
    return (
        f"{what} expires in {left}; make a new key, exchange it and compare the fingerprints "
        "before then"
    )
