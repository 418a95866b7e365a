"""`tools app.py`: the schemas that the model is given, as JSON.

Before it: the arguments; after it: the application's `ToolRegistry`.
"""

from __future__ import annotations

import argparse
import json

from .loading import Program, Target


def command(arguments: argparse.Namespace) -> int:
    """Print the tools of an application as the `tools` of its session."""
    target = Target.parse(arguments.app)
    application = Program(target, with_start=False).application(target.name)
    print(json.dumps(application.tools.definitions(), indent=2, ensure_ascii=False))
    return 0
