# The application on gunicorn, run by an unprivileged user. The same image serves, migrates and runs the worker.
# It contains no development tools: neither their packages nor fluxori/devtools (see .dockerignore).
FROM python:3.11-slim AS build
RUN python -m venv /opt/venv
COPY requirements.production.lock /tmp/
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /tmp/requirements.production.lock

FROM python:3.11-slim AS production
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin fluxori
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ENVIRONMENT=production \
    WEB_CONCURRENCY=2 \
    PROMETHEUS_MULTIPROC_DIR=/dev/shm/fluxori-metrics
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY . .
# The settings require these variables. Their values do not stay in the image.
RUN SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(64))')" \
    ALLOWED_HOSTS=build.invalid DATABASE_URL=postgresql://build.invalid/none \
    python manage.py collectstatic --noinput
USER fluxori
EXPOSE 8000
# The request needs a host name from ALLOWED_HOSTS, and localhost need not be one.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", "import os; from urllib.request import Request, urlopen; host = os.environ['ALLOWED_HOSTS'].split(',')[0].strip().lstrip('.'); urlopen(Request('http://127.0.0.1:8000/health/live', headers={'Host': host}), timeout=4)"]
# Statements time out after 30 s, so a worker that is silent for 60 s hangs. Threads mostly wait for the database; the
# deductions of all threads of a worker can share one transaction (group commit). /dev/shm keeps heartbeats in memory.
# Before it serves, the container checks its settings and those of the database server.
CMD ["sh", "-c", "python manage.py check --deploy --database default --fail-level ERROR && exec gunicorn fluxori.wsgi --bind=0.0.0.0:8000 --worker-class=gthread --threads=16 --timeout=60 --graceful-timeout=30 --keep-alive=5 --worker-tmp-dir=/dev/shm"]

# The same with a database server in the container, for docker-compose.embedded.yml. Throttles count in the memory of the
# worker process, so there is one.
FROM production AS embedded
USER root
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner=fluxori --group=fluxori --mode=700 /data
USER fluxori
ENV WEB_CONCURRENCY=1
CMD ["bash", "deploy/embedded.sh", "gunicorn", "fluxori.wsgi", "--bind=0.0.0.0:8000", "--worker-class=gthread", "--threads=16", "--timeout=60", "--graceful-timeout=30", "--keep-alive=5", "--worker-tmp-dir=/dev/shm"]

# Without --target an image is built without it.
FROM production
