"""What a change of the config costs clients: by the seed's reload, a plain one, and our methods, in one sitting.

`python -m benchmarks.reload` prints tables and writes `build/bench/reload.json`; docs/benchmarks.md explains both.
"""
