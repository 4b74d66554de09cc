"""Makes the downloaded haproxy.cfg this host's running configuration, or leaves the host as it was.

It runs as root on the proxies, with the standard library of whatever Python is there (3.8 to 3.14).
"""

PROJECT = "haproxy-ec2-sync"
"""Begins the marker, and is the name of all that is ours on a host: directory, rules of a firewall, hidden files."""
