"""Where the servers of `edgewright up` keep what they are told: files of the home, or PostgreSQL and S3.

Decides the names: on the server that EDGEWRIGHT_DATABASE names, a database for Prefect and one for MLflow, because both
number their own upgrades in a table of the same name, and one for the fleet; in an S3 store, MLflow's files below
`mlflow/`. Makes databases that are missing. Refuses another server than PostgreSQL, and to begin where it does not
answer. No address with a password is printed or stands on a command line.

>>> databases_of("postgresql://me:secret@db.example/edgewright?sslmode=require").mlflow
'postgresql+psycopg://me:secret@db.example/edgewright_mlflow?sslmode=require'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from edgewright.addresses import shown
from edgewright.errors import InputError, StoreUnavailable
from edgewright.settings import Settings

VARIABLE = "EDGEWRIGHT_DATABASE"
_NAME = "edgewright"
_SSL = "sslmode"
"""libpq's name; asyncpg, by which Prefect speaks, calls the same `ssl`."""
_CONNECT_WITHIN_S = 5


@dataclass(frozen=True)
class Databases:
    """Addresses for SQLAlchemy, with the drivers that are there: asyncpg comes with Prefect, psycopg by the extra."""

    prefect: str
    mlflow: str
    fleet: str


def databases_of(url: str) -> Databases:
    """Raises InputError where `url` names no PostgreSQL server."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname or set(options) - {_SSL}:
        raise InputError(
            f"{VARIABLE} names no PostgreSQL server",
            expected=f"postgresql://USER:PASSWORD@HOST:5432/NAME, with ?{_SSL}=require where it wants TLS",
            got=shown(url),
            next_step=f"correct {VARIABLE}, or unset it: both servers then keep sqlite files in the home",
        )
    name = parts.path.strip("/") or _NAME

    def address(scheme: str, database: str, query: dict[str, str]) -> str:
        return urlunsplit((scheme, parts.netloc, f"/{database}", urlencode(query), ""))

    over_ssl = {"ssl": options[_SSL]} if _SSL in options else {}
    return Databases(
        prefect=address("postgresql+asyncpg", f"{name}_prefect", over_ssl),
        mlflow=address("postgresql+psycopg", f"{name}_mlflow", options),
        fleet=address("postgresql+psycopg", f"{name}_fleet", options),
    )


def prepared(settings: Settings) -> Databases | None:
    """The databases, made where they are missing; None where the home's sqlite files serve.

    Raises:
        InputError: not PostgreSQL, or its driver is not installed.
        StoreUnavailable: it does not answer, does not let us in, or does not let us make a database.
    """
    if not settings.database:
        return None
    databases = databases_of(settings.database)
    if find_spec("psycopg") is None:
        raise InputError("PostgreSQL needs its driver", where=VARIABLE, next_step="pip install 'edgewright[postgres]'")
    names = [urlsplit(url).path.strip("/") for url in (databases.prefect, databases.mlflow, databases.fleet)]
    _make_missing(settings.database, names)
    return databases


def artifacts_root(settings: Settings) -> str:
    """Where MLflow's server puts the files that runs log: beside the store's artifacts, or in the home."""
    if settings.store.startswith("s3://"):
        return f"{settings.store.rstrip('/')}/mlflow"
    return str(settings.home / "mlflow" / "artifacts")


def _make_missing(url: str, names: Sequence[str]) -> None:
    import psycopg
    from psycopg import sql

    parts = urlsplit(url)
    standing = urlunsplit(("postgresql", parts.netloc, "/postgres", parts.query, ""))  # one that every server has
    where, missing = shown(url), ""
    try:
        with psycopg.connect(standing, autocommit=True, connect_timeout=_CONNECT_WITHIN_S) as connection:
            known = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
            for name in names:
                if name not in known:
                    missing = name
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreUnavailable(
            "this user may not make a database",
            got=missing,
            where=where,
            next_step=f"have its administrator run: createdb {' ; createdb '.join(names)}",
        ) from error
    except psycopg.Error as error:
        raise StoreUnavailable(
            f"the PostgreSQL server that {VARIABLE} names does not take us in",
            got=str(error).strip().splitlines()[-1],
            where=where,
            next_step=f"start it, or correct {VARIABLE}",
        ) from error
