"""The configuration file `flowspan.yml`: its model, where it is found, how it is read."""
