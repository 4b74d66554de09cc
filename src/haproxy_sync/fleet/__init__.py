"""What EC2 shows: the instances of one environment as typed values."""
