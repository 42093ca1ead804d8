"""The type checker of the test run: beartype, with an int wherever a float will do, as PEP 484 has it."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
