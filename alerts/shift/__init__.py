"""The shift: how much alarm load it bears, and what it hands over to the next."""
