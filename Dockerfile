# The application on granian, run by an unprivileged user. The same image serves, migrates and runs the worker.
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
    WEB_THREADS=16 \
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
# The server sends this response without the application, also while all threads wait for the database.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
# Before it serves, the container checks its settings and those of the database server.
CMD ["sh", "-c", "python manage.py check --deploy --database default --fail-level ERROR && exec python -m fluxori.server --host 0.0.0.0 --port 8000"]

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
CMD ["bash", "deploy/embedded.sh", "python", "-m", "fluxori.server", "--host", "0.0.0.0", "--port", "8000"]

# Without --target an image is built without it.
FROM production
