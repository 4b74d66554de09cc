"""Jinja2 as Ansible's `template` task runs it (ansible-core 2.19), so that a template renders to the same bytes here.

Own code, not Ansible's: ansible-core is GPL, slow to import and its engine is private. `tests/oracle` compares both.
"""
