"""AWS on loopback: a moto server, with what moto lacks filled by small stand-ins.

Each module says what of AWS it stands for and what it checks. They read the deployed stack (rules, queue, policies,
function, document) from the server and keep no copy of it, so that a wrong template breaks the local system too.
"""

ACCOUNT = "123456789012"
REGION = "ap-southeast-2"
PARTITION = "aws"
TRANSITION_SECONDS = 1.0
"""How long an instance is pending, stopping or shutting down."""
SHARED = "functions"
"""Folder beside those of the systems, for what they have in common."""
