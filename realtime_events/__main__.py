"""`python -m realtime_events`: the same as the command `realtime-events`."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
