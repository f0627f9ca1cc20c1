"""A synthetic feed of any length and size in the exact shape of the source, DataCo: 53 columns, encoding, quirks.

    python -m feeds.synthetic --landing DIR --start 2018-01-01 --days 30 --scale 1 --seed 7

The content of a day is a pure function of the seed, the scale, the shares of faults and the date: it depends neither on
other days, nor on the first day of a feed, the number of processes or the machine. All randomness comes from a
counter-based generator (draws.py). All arithmetic that bytes depend on is in integers or exact in IEEE 754. A
customer's attributes or a product's price on a day are computed from the id and the day alone.

parameters.json holds counts of the real data set (tools/calibrate.py), names.json lists of names. Neither holds rows of
the real data set.
"""
