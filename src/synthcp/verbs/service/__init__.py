"""synthcp serve: a monitor behind HTTP."""
