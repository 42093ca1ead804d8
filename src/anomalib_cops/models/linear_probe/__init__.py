"""A linear probe: what the frozen features alone say of anomalies, as a baseline that reads no words."""
