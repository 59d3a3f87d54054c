"""How fast Flowspan is on this machine: the real gateway, real component servers and a real client.

`make bench`, or `python -m bench --help`. Each scenario starts a gateway of its own as its own process (`flowspan serve`, SQLite
with `synchronous=FULL`, a unix socket), warms up, and repeats. Figures are medians of all repetitions, beside the
smallest and the largest one, the CPU time per item over the whole process tree (gateway, component servers, client), and how
much of the machine other programs took meanwhile.
"""
