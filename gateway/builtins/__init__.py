"""The built-ins at the gateway's side: those that need files or the network, and all of them as a plugin among others."""
