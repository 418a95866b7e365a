"""Fuzzing: whatever bytes come from outside, no target raises what it does not promise."""
