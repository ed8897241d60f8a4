"""Room four: what is decided is sent, until each destination has it."""
