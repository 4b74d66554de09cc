"""Fleet and template become text: one haproxy.cfg for each proxy."""
