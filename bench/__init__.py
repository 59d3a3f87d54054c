"""How fast Flowspan is on this machine: the real gateway, real component servers and a real client.

`make bench`, or `python -m bench --help`. Each scenario starts a gateway of its own as its own process (`flowspan serve`,
SQLite with `synchronous=FULL`, a unix socket), warms up, and repeats until enough repetitions were left alone by other
programs, at most three times as often as asked. Figures are medians of the quietest repetitions, beside the smallest and
the largest of them, the CPU time per item over the whole process tree (gateway, component servers, client), and how much of
the machine other programs took meanwhile. Ratios are to a sketch of the bare path (`bench.ceiling.sketch`) in the same run.
"""
