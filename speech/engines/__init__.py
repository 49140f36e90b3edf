"""The machine learning models behind small protocols; everything else of `speech` is plain code."""
