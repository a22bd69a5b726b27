"""Readings to verdicts: pure rules in event time. See `contract` for the words and `room` for how they meet."""
