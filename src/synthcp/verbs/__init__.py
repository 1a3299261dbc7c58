"""What a user asks a monitor to do, one file for each, from score to demo; and a service that does it over HTTP."""
