"""The command line of haproxy-ec2-sync: asks the deployed function, and shows its answers to a person.

It decides nothing that the function decides: `sam remote invoke` gets the same answers.
"""
