"""What a change of the config costs clients: by the Ansible playbook this replaces, a plain reload, and our methods.

`python -m benchmarks.reload` prints tables and writes `build/bench/reload.json`; docs/benchmarks.md explains both.
"""
