"""`python -m haproxy_ec2_sync`."""

from haproxy_ec2_sync.app import main

if __name__ == "__main__":
    main()
