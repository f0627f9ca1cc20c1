# Astro: the runtime of Airflow 3.3.2 (requirements.txt has the same) with this project on top.
#
# Tags are <runtime>[-python-<version>][-base]. Runtimes of Airflow 3 count as <airflow minor>-<build>; 3.3-8 is the
# build with Airflow 3.3.2 (Astro's catalogue of runtimes). It comes with Python 3.12 to 3.14: 3.12 is what Databricks'
# serverless compute has, and 3.14 is more than this project allows.
# -base is the runtime without build triggers: they refuse a requirements.txt that pins apache-airflow, as a complete
# lock with hashes does. The steps below are theirs, with the hashes checked.
FROM astrocrpublic.azurecr.io/runtime:3.3-8-python-3.12-base

USER root
WORKDIR /usr/local/airflow
COPY packages.txt .
RUN sed 's/#.*//' packages.txt > /tmp/packages.txt \
    && if grep -q '[^[:space:]]' /tmp/packages.txt; then \
        apt-get update && xargs -a /tmp/packages.txt apt-get install -y --no-install-recommends \
        && rm -rf /var/lib/apt/lists/*; \
    fi
# What the runtime has in a fitting version stays, its own build of Airflow first of all.
COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt
USER astro

COPY --chown=astro:0 . .
ENV PYTHONPATH=/usr/local/airflow
