"""`LlamaServer`: llama.cpp's own HTTP server in this process, on a port that only we know the key of."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from speech.embedded.errors import EmbeddedModelError
from speech.embedded.model_file import MODEL_NAME, chat_template, model_path
from speech.embedded.settings import EmbeddedSettings
from utils import STOP_SIGNALS, held_stop_signals

if TYPE_CHECKING:
    import xllamacpp

_ERRORS_ONLY = 1
# The model's own answers wander at llama.cpp's default of 0.8, and repeat themselves without a penalty.
_TEMPERATURE = 0.3
_REPEAT_PENALTY = 1.1


class LlamaServer:
    """llama.cpp's server with the packaged model, from `load` to `close`."""

    def __init__(self, settings: EmbeddedSettings) -> None:
        self._settings = settings
        self._server: xllamacpp.Server | None = None
        self.key = secrets.token_hex(16)
        """Bearer key of `uri`: other programs of this machine reach the port too."""

    @property
    def uri(self) -> str:
        """Address of llama.cpp's server; empty until it is loaded."""
        return "" if self._server is None else str(self._server.listening_address)

    async def load(self) -> None:
        """Verify the model file and load it, in a thread; signals to stop are delivered after that.

        Raises:
            EmbeddedModelError: that is impossible here; one line says why.
        """
        pool = ThreadPoolExecutor(1, thread_name_prefix="load")
        try:
            loop = asyncio.get_running_loop()
            with own_signal_handlers():
                self._server = await loop.run_in_executor(pool, self._create)
        except (ImportError, OSError, RuntimeError) as error:
            reason = (str(error).splitlines() or [""])[0][:200]
            text = f"llama.cpp cannot load the model ({type(error).__name__}: {reason})"
            raise EmbeddedModelError(text) from error
        finally:
            pool.shutdown(wait=False)

    async def close(self) -> None:
        """End requests that run, and free the model. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        holder = [server]
        del server
        # Its destructor waits for the step that llama.cpp is in.
        await asyncio.to_thread(holder.clear)

    def _create(self) -> xllamacpp.Server:
        path = model_path()
        import xllamacpp

        server = xllamacpp.Server(self._parameters(xllamacpp.CommonParams(), str(path)))
        # The loop that generates answers this. A server that is freed before its loop runs waits in its
        # destructor for ever, with the GIL: the loop begins after the signal to end, and does not see it.
        server.handle_metrics()
        return server

    def _parameters(self, parameters: Any, path: str) -> Any:
        settings = self._settings
        parameters.model.path = path
        parameters.model_alias = {MODEL_NAME}
        parameters.chat_template = chat_template()
        parameters.n_parallel = settings.slots
        parameters.n_ctx = settings.context_tokens * settings.slots
        parameters.n_batch = parameters.n_ubatch = settings.batch_tokens
        parameters.n_predict = settings.max_reply_tokens
        parameters.cache_ram_mib = settings.cache_mb
        for threads in (parameters.cpuparams, parameters.cpuparams_batch):
            threads.n_threads, threads.poll = settings.threads, 0
        parameters.sampling.temp = _TEMPERATURE
        parameters.sampling.penalty_repeat = _REPEAT_PENALTY
        # Beside those that wait in our queue: one request each, and health checks.
        parameters.n_threads_http = settings.slots + 2
        parameters.hostnames = ["127.0.0.1"]
        parameters.port = 0
        parameters.api_keys = [self.key]
        parameters.ui = False
        parameters.endpoint_metrics = True
        # A last message of the assistant is a turn of its own, as with OpenAI, and not to be gone on with.
        parameters.prefill_assistant = False
        parameters.verbosity = _ERRORS_ONLY
        return parameters


@contextlib.contextmanager
def own_signal_handlers() -> Iterator[None]:
    """Keep Python's handlers: llama.cpp takes SIGINT and SIGTERM for itself as it loads.

    Both wait until Python's handlers are installed again, or one that comes meanwhile would be lost.
    The threads that are started meanwhile never get them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with held_stop_signals():
        try:
            yield
        finally:
            for number in STOP_SIGNALS:
                if (handler := signal.getsignal(number)) is not None:
                    signal.signal(number, handler)
                    signal.siginterrupt(number, False)
