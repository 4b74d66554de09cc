"""From an event to one step towards the desired state."""
