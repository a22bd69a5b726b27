"""What a shift leader sees: alarm load as ISA-18.2 measures it, and the notes one shift leaves the next."""
