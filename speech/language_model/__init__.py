"""Language models that decide what to say."""
