"""`python -m hanlu.app` is the `hanlu` command; the supervisor starts its children this way, whatever the PATH."""

from __future__ import annotations

import sys

from hanlu.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
