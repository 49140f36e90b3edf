"""The model side: one interface (`model`, `events`), a folder for each provider's protocol, and in
`lasting` what keeps one conversation over as many of their sessions as it takes.
"""
