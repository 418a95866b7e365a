"""The same faults run against this package and its peers; run them by `python -m benchmarks.faults`.

Every client (`clients/`, one file each) is an application as its package's own documentation writes one. Each scene
(`scenes.py`) breaks something on a stage (`stage.py`): a simulator with a `FaultProxy` in front of it, on loopback,
without a key. It runs for each client in a fresh process (`cell.py`) and gives measures, taken on the server's side or
from what the application was told. `rows.py` says what is compared and which is better, `page.py` writes the table. The
package under test knows nothing of this one.
"""
