"""The structures of ``structures.h``, and the functions of ``step.cpp`` and ``draws.cpp``."""

from __future__ import annotations

import ctypes
import logging
import os
from functools import cache

from torch import Tensor

from ncf.training.kernel import building

_log = logging.getLogger(__name__)
LIBRARY = building.KERNEL / building.NAME
MOST_LAYERS = 16
NOT_ASCENDING, OUT_OF_RANGE = -1, -2
_ADDRESS, _COUNT, _REAL = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float


class Table(ctypes.Structure):
    """Embeddings."""

    _fields_ = (
        ("rows", _COUNT),
        ("width", _COUNT),
        ("weight", _ADDRESS),
        ("mean", _ADDRESS),
        ("square", _ADDRESS),
        ("last_step", _ADDRESS),
    )


class Array(ctypes.Structure):
    """All other weights."""

    _fields_ = (
        ("size", _COUNT),
        ("weight", _ADDRESS),
        ("mean", _ADDRESS),
        ("square", _ADDRESS),
        ("gradient", _ADDRESS),
        ("l2", _REAL),
    )


class Adam(ctypes.Structure):
    """Settings and step of Adam, beside gradients and moments."""

    _fields_ = (
        ("beta1", _REAL),
        ("beta2", _REAL),
        ("epsilon", _REAL),
        ("rate", _REAL),
        ("scale", _REAL),
        ("step", ctypes.c_int32),
        ("scale_after", _ADDRESS),
        ("drift", _ADDRESS),
    )


class StepData(ctypes.Structure):
    """A network and the samples of a step."""

    _fields_ = (
        ("factors", _COUNT),
        ("layers", _COUNT),
        ("widths", _COUNT * (MOST_LAYERS + 1)),
        ("user_gmf", Table),
        ("user_mlp", Table),
        ("item_gmf", Table),
        ("item_mlp", Table),
        ("weight", Array * MOST_LAYERS),
        ("bias", Array * MOST_LAYERS),
        ("output", Array),
        ("output_bias", Array),
        ("n_users", _COUNT),
        ("n_items", _COUNT),
        ("positives", _COUNT),
        ("fan", _COUNT),
        ("users", _ADDRESS),
        ("items", _ADDRESS),
        ("rows", _ADDRESS),
        ("n_rows", _COUNT),
        ("scale", _REAL),
        ("l2", _REAL),
        ("d_user_gmf", _ADDRESS),
        ("d_user_mlp", _ADDRESS),
        ("d_item_gmf", _ADDRESS),
        ("d_item_mlp", _ADDRESS),
        ("adam", Adam),
    )


class Known(ctypes.Structure):
    """The items that are not negatives of each user."""

    _fields_ = (
        ("n_users", _COUNT),
        ("n_items", _COUNT),
        ("offsets", _ADDRESS),
        ("items", _ADDRESS),
        ("bitmap", _ADDRESS),
        ("stride", _COUNT),
    )


@cache
def library() -> ctypes.CDLL | None:
    """The compiled code; None, with a warning in the log, if it is missing or cannot be loaded."""
    try:
        return _load()
    except (OSError, AttributeError) as error:  # the second: a function is missing
        reason = str(error) if LIBRARY.exists() else "it is not there"
    if os.environ.get("LOCAL_RANK", "0") == "0":  # one process of each host logs it
        _log.warning(
            "torch trains, several times as slowly, as the compiled step %s cannot be used: %s (python %s "
            "compiles it for this machine)",
            LIBRARY,
            reason,
            building.__file__,
        )
    return None


def _load() -> ctypes.CDLL:
    building.check_seal(LIBRARY)
    code = ctypes.CDLL(str(LIBRARY))
    for name, result, arguments in (
        ("ncf_new_thread_pool", _ADDRESS, [ctypes.c_int32]),
        ("ncf_delete_thread_pool", None, [_ADDRESS]),
        ("ncf_new_workspace", _ADDRESS, [_ADDRESS]),
        ("ncf_delete_workspace", None, [_ADDRESS]),
        ("ncf_sort", _COUNT, [_ADDRESS] * 3),
        ("ncf_gradients", ctypes.c_double, [_ADDRESS] * 2),
        ("ncf_update", None, [_ADDRESS] * 2),
        ("ncf_settle", None, [_ADDRESS] * 2),
        ("ncf_bitmap", None, [_ADDRESS] * 3),
        ("ncf_draw", None, [*[_ADDRESS] * 3, _COUNT, _ADDRESS, _ADDRESS, _COUNT, ctypes.c_uint64, _ADDRESS, _ADDRESS]),
        ("ncf_deal", None, [_ADDRESS, _COUNT, _COUNT, ctypes.c_uint64, _ADDRESS]),
    ):
        function = getattr(code, name)
        function.restype, function.argtypes = result, arguments
    return code


def compiled() -> ctypes.CDLL:
    """The compiled code, after :func:`library` has found it."""
    code = library()
    assert code is not None
    return code


@cache
def thread_pool(threads: int) -> int:
    """A thread pool of the process, shared by all that use so many threads. One call at a time may use it."""
    address: int = compiled().ncf_new_thread_pool(threads)
    return address


def address(tensor: Tensor | None) -> int | None:
    """Address of the numbers of a contiguous tensor, which the caller keeps alive."""
    if tensor is None:
        return None
    assert tensor.is_contiguous()
    return tensor.data_ptr()
