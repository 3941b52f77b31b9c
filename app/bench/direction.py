"""Where a resistance goes."""

UP = 1
DOWN = -1
WORD = {UP: "up", DOWN: "down"}
"""As the array view keeps it."""
