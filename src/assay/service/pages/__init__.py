"""The web face of the service: templates, words in two languages, one style sheet and a few scripts of our own."""
