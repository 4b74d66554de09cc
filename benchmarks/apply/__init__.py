"""What the host program costs a proxy: processes, CPU and time, beside the former program in bash.

`python -m benchmarks.apply` prints a table and writes `build/bench/apply.json`; docs/benchmarks.md explains both.
"""
