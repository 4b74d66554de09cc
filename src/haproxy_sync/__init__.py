"""Keeps HAProxy in step with tagged EC2 instances: one look, one rendered config, one careful rollout."""

__version__ = "0.1.0"
