"""``table``: from result files to tables."""
from jsonargparse import ArgumentParser, Namespace
def arguments(): return ArgumentParser(description=__doc__)
def main(options): return 0
