"""What went wrong, in one sentence and the exit code of the contract: nobody is shown a traceback."""

from __future__ import annotations

from pathlib import Path

from dcc.gateway.commands.common import EXIT_CONFIGURATION, EXIT_NO, EXIT_UNKNOWN


def explained(error: Exception) -> tuple[list[str], int]:
    """(lines for standard error, exit code) of an exception that a command let through."""
    from dcc.gateway.settings import ConfigurationError
    from dcc.mailbox.database import DatabaseDamaged, DatabaseFull, DatabaseGone, SchemaMismatch

    if isinstance(error, ConfigurationError):
        return error.problems, EXIT_CONFIGURATION
    if isinstance(error, SchemaMismatch):
        return ["database.url : la base n'a pas le schéma de cette version (dcc migrate)"], EXIT_CONFIGURATION
    if isinstance(error, DatabaseFull):
        return ["plus de place pour la base : rien n'a été changé"], EXIT_UNKNOWN
    if isinstance(error, DatabaseDamaged):
        return ["la base est abîmée : il faut une copie (dcc restore)"], EXIT_UNKNOWN
    if isinstance(error, DatabaseGone):
        return ["la base ne répond pas, ou ne peut pas être écrite"], EXIT_UNKNOWN
    if isinstance(error, BrokenPipeError):
        return [], EXIT_NO  # the reader of our output has gone
    if isinstance(error, OSError):
        what = error.filename or "un fichier"
        return [f"{what} : {error.strerror or type(error).__name__}"], EXIT_NO
    return [_unexpected(error)], EXIT_UNKNOWN


def _unexpected(error: Exception) -> str:
    """The kind and the place only: the message of an unknown exception may hold what must not be shown (I3)."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "?" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return f"erreur inattendue ({type(error).__name__}, {place}) : signalez-la"
