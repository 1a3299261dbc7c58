"""What is computed (a variant) and how big it is (a scale): two settings that combine freely."""
