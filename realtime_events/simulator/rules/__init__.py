"""The rules by which the default brain answers: what was said, which tool fits, and how an output is put into words.

Owns nothing but text and JSON Schemas; knows no session. A request walks `language` (words), `spans` and `parameters`
(what could be an argument), `matching` and `arguments` (which tool, filled how), `smalltalk` (what needs none) and
`wording` (the answer); `brain` decides. Before it: `plans.Request`; after it: `plans.Plan`.
"""

from __future__ import annotations

from .brain import RuleBrain

__all__ = ["RuleBrain"]
