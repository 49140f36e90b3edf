"""Work on calls that are over: notices with their content, summaries and extractions."""
