"""The jobs of this app: the mails about accounts. A mail that cannot be sent is tried again for about an hour."""

from procrastinate import RetryStrategy
from procrastinate.contrib.django import app

from fluxori.identity.account_mail import JOBS

# It waits 3, 9, 27 ... seconds.
RETRY = RetryStrategy(max_attempts=7, exponential_wait=3)

for _job in JOBS:
    app.task(name=f"mail.{_job.__name__}", retry=RETRY)(_job)
