"""Text for the voice: replies cut into clauses as they are written, and written as they are said.

`clause_splitter` cuts the stream of a language model, `markdown` says what of its notation is
spoken, `spoken_form` puts figures and symbols into words. All pure: no I/O, no clock.
"""
