"""The first call of a run to MLflow: it fails soon and in a sentence, where the client alone asks again for minutes.

Decides how long the beginning of a run waits. Later calls keep MLflow's own patience: a server that is started again
while a network trains costs no run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from edgewright.addresses import shown, why
from edgewright.errors import StoreUnavailable

P = ParamSpec("P")
R = TypeVar("R")
_TIMEOUT_S, _MORE_TRIES = 10, 1


class _Tracks(Protocol):
    @property
    def uri(self) -> str: ...


S = TypeVar("S", bound=_Tracks)


def first_call(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """A tracker's method that begins a run: MLflow is asked twice at most, not for minutes, and failure is a sentence.

    Raises, besides what the method raises:
        StoreUnavailable: MLflow cannot be reached or written.
    """

    @wraps(method)
    def called(tracker: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT
        from mlflow.exceptions import MlflowException

        patience = ((MLFLOW_HTTP_REQUEST_TIMEOUT, _TIMEOUT_S), (MLFLOW_HTTP_REQUEST_MAX_RETRIES, _MORE_TRIES))
        lowered = [(variable, value) for variable, value in patience if not variable.is_set()]
        for variable, value in lowered:
            variable.set(value)
        try:
            return method(tracker, *args, **kwargs)
        except (MlflowException, OSError) as error:
            raise StoreUnavailable(
                "MLflow does not take this run",
                got=why(error),
                where=shown(tracker.uri),
                next_step="see what answers there, or set MLFLOW_TRACKING_URI to another",
            ) from error
        finally:
            for variable, _ in lowered:
                variable.unset()

    return called
