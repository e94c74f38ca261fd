-- Beside Prefect's, which the image makes: both keep a table alembic_version, so they cannot share one.
CREATE DATABASE mlflow;
