"""Whom an alarm calls, on which way, and what becomes of it: a chain of small stages."""
