"""What is remembered between invocations, and how it is stored."""
