"""Fitting a monitor: what may be chosen, where imperfect predictions come from, and the stages of a run."""
