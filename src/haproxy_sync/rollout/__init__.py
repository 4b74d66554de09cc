"""From published to proven everywhere: canary, proof, waves."""
