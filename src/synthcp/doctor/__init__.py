"""What is right and wrong with a machine, a data set, a model and a monitor, before they cost hours."""
