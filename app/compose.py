"""The composition root: from configuration to a running engine. The only place that sees every
part, and the only one that knows which driver stands behind a name.
"""

import logging

log = logging.getLogger(__name__)
