"""The door: who may send, and law 1 for what they send."""
