"""From published to proved everywhere: canary, proof, waves."""
