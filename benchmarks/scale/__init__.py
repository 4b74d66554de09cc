"""What clients lose while backends come and go: with our reload methods, and with the playbook in a cron job.

`python -m benchmarks.scale` prints a table and writes `build/bench/scale.json`; docs/benchmarks.md explains both.
"""
