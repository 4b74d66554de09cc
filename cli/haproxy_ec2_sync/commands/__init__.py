"""One module per command, each with a `command` that `app` adds."""
