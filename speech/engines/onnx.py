"""Sessions of ONNX Runtime as every model here wants them: few threads, without telemetry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speech.engines import files
from telemetry_opt_out import switch_off_telemetry


def open_session(weights: Path | bytes, *, threads: int = 1) -> Any:
    """Load a model; its `run` may be called from several threads at once.

    Raises:
        ModelFilesError: ONNX Runtime is not installed.
    """
    # It talks from its import on.
    switch_off_telemetry()
    try:
        import onnxruntime
    except ImportError as error:
        raise files.not_installed("onnxruntime") from error
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model = weights if isinstance(weights, bytes) else str(weights)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
