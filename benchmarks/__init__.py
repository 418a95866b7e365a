"""Benchmarks of `realtime_events` beside its floor and its peers; run them by `python -m benchmarks`.

A server in a process of its own (`server.py`) sends frames encoded beforehand (`frames.py`); every client
(`clients/`, one file each) answers them with one async handler per delta in a fresh process (`measure.py`), which
reports its own CPU time. `scenarios.py` names what is measured and the bars, `schedule.py` interleaves the runs,
`report.py` writes the table. The simulator is measured too: `simulator.py` is its process, `calls.py` its callers. The
package under test knows nothing of this one.
"""
