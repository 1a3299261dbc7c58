"""The product: a fitted alarm system, its settings, its thresholds and what it promises."""
