"""A password hasher that bounds how many passwords a process hashes at a time.

One hash takes about half a second of processor time, on purpose. Without a bound, a burst of logins occupies every
processor, and with it every other request.
"""

from threading import BoundedSemaphore
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from fluxori.identity.errors import LoginBusyError


class BoundedPBKDF2PasswordHasher(PBKDF2PasswordHasher):
    """Django's default hasher; at most ``PASSWORD_HASHES`` run at a time in a process, and further ones are refused.

    They are refused at once: a thread that waits for its turn could not serve other requests.

    :raises LoginBusyError: from every function that hashes or checks a password
    """

    _slots = BoundedSemaphore(settings.PASSWORD_HASHES)

    def encode(self, *args: Any, **kwargs: Any) -> str:
        if not self._slots.acquire(blocking=False):
            raise LoginBusyError
        try:
            return super().encode(*args, **kwargs)
        finally:
            self._slots.release()
