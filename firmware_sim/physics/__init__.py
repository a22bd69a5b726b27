"""Models of machines and rooms: what is truly there, and what the instruments make of it.

Every model advances by a fixed step on a grid of absolute time, so that its results depend on the seed and on its
start, never on how often or how fast it is looked at. Temperatures are degrees Celsius, powers watts, times Unix
milliseconds (UTC) or seconds as the name says. Figures cite the measurement or publication they come from.
"""

from __future__ import annotations
