"""Let Ray show the token that clusters ask for."""

import os
from pathlib import Path


def offer_token() -> None:
    """Send Ray's token to a cluster, if this machine has one and the user did not decide otherwise.

    Clusters that ``ray start`` makes ask for it since Ray 2.53, but programs that join them do not send it by default;
    others ignore it. Call this before Ray connects.
    """
    places = (os.environ.get("RAY_AUTH_TOKEN_PATH"), Path.home() / ".ray/auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or any(place and Path(place).is_file() for place in places):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
