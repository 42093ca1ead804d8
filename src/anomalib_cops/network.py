"""Whether there is a network, found out in seconds."""

import threading
import urllib.error
import urllib.request

NETWORK_SECONDS = 3.0


def reachable(address: str) -> bool:
    """Whether the server answers at all; a thread bounds what a slow name look-up may take."""
    answered = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=NETWORK_SECONDS):
                answered.set()
        except urllib.error.HTTPError:
            answered.set()
        except OSError:
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(NETWORK_SECONDS)
    return answered.is_set()
