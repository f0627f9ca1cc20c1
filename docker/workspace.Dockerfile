# The local workspace with its Spark, set up in the image by the code of `make setup`.
# Tags are pinned; for a digest as well, append @sha256:... as `docker buildx imagetools inspect` prints it.
FROM python:3.12.12-slim-bookworm

ENV PYTHONPATH=/opt/lakehouse \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    UV_NO_CACHE=1 \
    UV_LINK_MODE=copy \
    GX_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=1 \
    TZ=UTC \
    LAKEHOUSE_STATE=/state

# /state is there beforehand, so that a new volume on it belongs to the user.
RUN useradd --uid 50000 --create-home lakehouse \
    && install --directory --mode=0700 --owner=lakehouse --group=lakehouse /state /opt/lakehouse
WORKDIR /opt/lakehouse
USER lakehouse

# Packages, Java and Spark's jars: layers that change only with the lock and the code of set-up.
COPY --chown=lakehouse pyproject.toml requirements-workspace.txt ./
COPY --chown=lakehouse machine/ machine/
COPY --chown=lakehouse tools/ tools/
COPY --chown=lakehouse laptop/ laptop/
COPY --chown=lakehouse docker/run_workspace.py docker/
RUN python docker/run_workspace.py setup

# The code, and the wheel made of it.
COPY --chown=lakehouse spark_jobs/ spark_jobs/
COPY --chown=lakehouse feeds/ feeds/
COPY --chown=lakehouse gx/ gx/
COPY --chown=lakehouse local_workspace/ local_workspace/
COPY --chown=lakehouse resources/ resources/
COPY --chown=lakehouse pipelines/ pipelines/
COPY --chown=lakehouse dashboards/ dashboards/
COPY --chown=lakehouse databricks.yml README.md LICENSE NOTICE ./
RUN python docker/run_workspace.py wheel

ENTRYPOINT ["/opt/lakehouse/setup/venv/workspace/bin/python", "/opt/lakehouse/docker/run_workspace.py"]
CMD ["serve"]
