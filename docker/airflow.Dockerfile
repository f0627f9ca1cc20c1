# Airflow for docker compose: the locked requirements on a plain Python, nothing else.
# Tags are pinned; for a digest as well, append @sha256:... as `docker buildx imagetools inspect` prints it.
FROM python:3.12.12-slim-bookworm

ENV AIRFLOW_HOME=/opt/airflow \
    PYTHONPATH=/opt/lakehouse \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# The log folder is there beforehand, so that a new volume on it belongs to the user.
RUN useradd --uid 50000 --create-home lakehouse \
    && install --directory --owner=lakehouse --group=lakehouse /opt/airflow /opt/airflow/logs
WORKDIR /opt/lakehouse

COPY requirements.txt requirements-postgres.txt ./
RUN pip install --no-cache-dir --require-hashes -r requirements.txt -r requirements-postgres.txt

# Compose mounts these folders over; the copies let the image run without it. They belong to the user, since a clone made
# under umask 077 has files that only their owner can read.
COPY --chown=lakehouse dags/ dags/
COPY --chown=lakehouse include/ include/
COPY --chown=lakehouse plugins/ plugins/
COPY --chown=lakehouse docker/run_airflow.py docker/healthy.py docker/
COPY --chown=lakehouse machine/__init__.py machine/airflow_cleanup.py machine/

USER lakehouse
ENTRYPOINT ["python", "/opt/lakehouse/docker/run_airflow.py"]
CMD ["api-server"]
