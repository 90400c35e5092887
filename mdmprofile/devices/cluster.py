"""Units of work on a Dask cluster that is there already.

A unit is a task of its own, with the recipe inside, so that any worker can make it, and make it again when the one that
had it has died. Its key is random and its arguments show nothing, so no log and no dashboard has a secret.

A worker that is short of memory writes what it holds into its own directory, profiles with their keys among it. Dask
sends Python objects both ways: whoever rules the cluster, or can change what passes on an unencrypted way to it, can
have this process run anything. https://distributed.dask.org/en/stable/tls.html
"""

from __future__ import annotations

import contextlib
import ipaddress
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import Future as Answer
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from mdmprofile import __version__
from mdmprofile.devices.processes import Waiting
from mdmprofile.devices.unit import Item, Outcome, forget, work
from mdmprofile.errors import MdmprofileError, WorkerError
from mdmprofile.findings import Finding, finding
from mdmprofile.recipe import Recipe
from mdmprofile.urls import has_scheme

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")

CONNECT_SECONDS: float = 10
# A scheduler that is busy answers late; one that is stopped, or behind a network that swallows everything, never does.
ANSWER_SECONDS: float = 30
# Workers that are started by need take a while; a cluster whose workers are all gone would be waited for without end.
LONELY_SECONDS = 60
_GATHER_SECONDS: float = 300
_CLOSE_SECONDS: float = 5
_AGAIN = "run it again, and it goes on where it stopped"
_SAME = f"install mdmprofile {__version__} on the scheduler and on every worker, with the same Python as here"
# A process that uses Dask for nothing else has nothing to say about it; what goes wrong is said once, as an error.
_QUIET = dict.fromkeys(("asyncio", "distributed", "distributed.client", "tornado", "tornado.application"), "critical")


def judge_scheduler(url: str) -> tuple[Finding, ...]:
    """What is to be said about a scheduler's URL; raises ``WorkerError`` where it is none."""
    rest = url.partition("://")[2]
    parts = urlsplit(url) if has_scheme(url, "tcp", "tls") and "@" not in rest else None
    if parts is None or not parts.port or parts.netloc != rest:
        raise WorkerError("is not the address of a Dask scheduler", where=url, hint="write tls://HOST:PORT")
    host = str(parts.hostname)
    if parts.scheme == "tls" or _is_here(host):
        return ()
    return (finding("cluster.unencrypted", f"private keys and secrets go to {host} unencrypted", where=url),)


class Cluster:
    """A Dask cluster, whose ``workers`` are the threads of all its workers; ``scheduler`` is its URL.

    Certificates for tls:// are those of Dask's own configuration, ``distributed.comm.tls``. Threads of one worker
    share what is prepared once; two that begin together may each prepare it, which does no harm, for nothing is asked
    of a person and nothing is issued. Raises ``WorkerError`` when the scheduler cannot be reached.
    """

    def __init__(self, recipe: Recipe, scheduler: str) -> None:
        self._recipe = recipe
        self._scheduler = scheduler
        self._begun = 0
        self._pending: dict[int, Future[Outcome]] = {}
        self._client = self._connected()
        try:
            self._refuse_others()
            self.workers = max(1, self._threads())
        except BaseException:
            self.close()
            raise

    def begin(self, items: Sequence[Item]) -> Waiting:
        """Hand the unit to the scheduler."""
        self._begun += 1
        number = self._begun
        # Dask looks through arguments for the keys of other tasks, but not into a partial.
        unit = partial(_unit, __version__, self._recipe, tuple(items))
        key = f"{self._client.id.removeprefix('Client-')}-{number}"
        self._pending[number] = self._asked(lambda: self._client.submit(unit, key=key, pure=False), ANSWER_SECONDS)
        return lambda: self._outcome(number)

    def close(self) -> None:
        """Give up what is not begun yet, have the workers forget the recipe, and leave the cluster."""
        client, pending = self._client, list(self._pending.values())
        self._pending.clear()
        # Nobody could do anything about it; what matters was said before.
        with contextlib.suppress(Exception):
            if pending:
                limited(lambda: client.cancel(pending), _CLOSE_SECONDS)
            if client.status == "running":
                limited(lambda: client.run(forget, on_error="ignore"), _CLOSE_SECONDS)
        with contextlib.suppress(Exception):
            client.close(timeout=_CLOSE_SECONDS)

    abort = close

    def _connected(self) -> Client:
        try:
            return limited(lambda: _client(self._scheduler), CONNECT_SECONDS + 1)
        except WorkerError as error:
            error.where = self._scheduler
            raise
        except ImportError:
            # Dask's own, when its release here and there do not understand each other.
            raise self._failed("the scheduler has another release of Dask", _SAME) from None
        except Exception:  # noqa: BLE001 - whatever Dask raises for a server that is none
            hint = "is it running, and is the address right?"
            if self._scheduler.startswith("tls:"):
                hint = "is it running with TLS, and do both sides trust each other's certificate?"
            raise self._failed("the scheduler cannot be reached", hint) from None

    def _refuse_others(self) -> None:
        """A worker that cannot load a task ends of it, so each is asked whether it can before it gets one."""
        answers = self._asked(lambda: self._client.run(_expect, __version__, on_error="return"), ANSWER_SECONDS)
        for each in answers.values():
            # One that has died just now is no reason to stop.
            if isinstance(each, Exception) and not isinstance(each, OSError):
                raise self._explained(each)

    def _threads(self) -> int:
        return sum(self._asked(self._client.nthreads, ANSWER_SECONDS).values())

    def _outcome(self, number: int) -> Outcome:
        future = self._pending[number]
        lonely = 0
        while not self._asked(lambda: _is_done(future), ANSWER_SECONDS):
            threads = self._threads()
            self.workers = max(1, threads)
            lonely = 0 if threads else lonely + 1
            if lonely >= LONELY_SECONDS:
                hint = f"start some, or see in their logs why they ended; {_AGAIN}"
                raise self._failed(f"the cluster has had no worker for {lonely} seconds", hint)
        outcome: Outcome = self._asked(future.result, _GATHER_SECONDS)
        # The worker holds the profiles until nobody wants them any more.
        self._pending.pop(number).release()
        return outcome

    def _asked(self, action: Callable[[], T], seconds: float) -> T:
        try:
            return limited(action, seconds)
        except Exception as error:  # noqa: BLE001 - Dask's are many
            raise self._explained(error) from None

    def _explained(self, error: Exception) -> MdmprofileError:
        from distributed import KilledWorker  # noqa: PLC0415 - an optional extra

        if isinstance(error, MdmprofileError):
            error.where = error.where or self._scheduler
            return error
        if isinstance(error, KilledWorker):
            hint = f"had they enough memory? {_AGAIN}"
            return self._failed("several workers died of the same few profiles", hint)
        if isinstance(error, CancelledError) or self._client.status != "running":
            return self._failed("the scheduler is gone, or has given up the work", f"start it; {_AGAIN}")
        if isinstance(error, OSError):
            return self._failed("the scheduler gives no answer", f"is it still running? {_AGAIN}")
        # A unit raises none but ours, so this is one that did not get there.
        return self._failed("a part of the cluster cannot load mdmprofile", _SAME)

    def _failed(self, message: str, hint: str) -> WorkerError:
        return WorkerError(message, where=self._scheduler, hint=hint)


def limited(action: Callable[[], T], seconds: float) -> T:
    """What the action returns; raises ``TimeoutError`` for one that takes longer.

    Dask bounds most waits, but not the first words of a connection, and not its own event loop.
    """
    answer: Answer[T] = Answer()

    def act() -> None:
        try:
            answer.set_result(action())
        except BaseException as error:  # noqa: BLE001 - it is raised again, in the thread that waits
            answer.set_exception(error)

    threading.Thread(target=act, daemon=True).start()
    return answer.result(seconds)


def _client(url: str) -> Client:
    try:
        import dask  # noqa: PLC0415 - an optional extra

        configured = {"logging", "logging-file-config"} & dask.config.config.keys()
        with dask.config.set({} if configured else {"logging": _QUIET}):
            from distributed import Client  # noqa: PLC0415
            from distributed.security import Security  # noqa: PLC0415
    except ImportError as error:
        name = getattr(error, "name", None) or "distributed"
        message = f"--engine dask needs the Python package distributed, which cannot be loaded ({name} is missing)"
        raise WorkerError(message, hint="pip install 'mdmprofile[dask]'") from None
    try:
        security = Security()
        ready = security.get_connection_args("client")["ssl_context"] is not None
    except (OSError, ValueError) as error:
        message = f"the certificates of distributed.comm.tls cannot be read: {error}"
        raise WorkerError(message, hint="correct Dask's configuration") from None
    if url.startswith("tls:") and not ready:
        hint = "set ca-file, client.cert and client.key of distributed.comm.tls in Dask's configuration"
        raise WorkerError("TLS needs certificates", hint=hint)
    return Client(url, timeout=CONNECT_SECONDS, name="mdmprofile", set_as_default=False, security=security)


def _is_done(future: Future[Outcome]) -> bool:
    """Whether the unit is made, or failed, within a second."""
    try:
        future.exception(timeout=1)
    except TimeoutError:
        return False
    return True


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _expect(version: str) -> None:
    """Refuse to work for another release, on a worker: a device's profile must not depend on who made it."""
    if version != __version__:
        raise WorkerError(f"a worker has mdmprofile {__version__} instead of {version}", hint="install the same one")


def _unit(version: str, recipe: Recipe, items: Sequence[Item]) -> Outcome:
    """Make a unit, on a worker.

    A worker that dies takes with it what it had made. The unit is made again elsewhere, with other keys and the same
    serial numbers, and RFC 5280 section 4.1.2.2 wants these to be unique. That is kept as far as anybody can see:
    what the dead worker issued left it for nobody, and revoking the number that the ledger has revokes both. With other
    numbers for each attempt there would be certificates that the ledger does not know.
    """
    _expect(version)
    try:
        return work(recipe, items, None)
    except MdmprofileError:
        raise
    except Exception as error:  # noqa: BLE001 - Dask would write its text, which can quote anything, into its logs
        message = f"internal error ({type(error).__name__}) on a worker; please report what you ran"
    raise WorkerError(message)
