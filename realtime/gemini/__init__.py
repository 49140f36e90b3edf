"""Gemini Live (BidiGenerateContent): the developer API and Vertex AI."""
