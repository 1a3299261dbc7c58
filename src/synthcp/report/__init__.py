"""What a person sees: the output folder, tables, figures and the report."""
