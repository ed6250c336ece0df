"""Where a trained model computes, and in which precision. The defaults follow the machine."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from compressors.errors import InvalidConfig

M = TypeVar("M", bound=nn.Module)
DTYPES = ("auto", "fp32", "bf16")


def device_of(name: str = "auto") -> torch.device:
    """The device called `name`; auto: a GPU if there is one. Raises `InvalidConfig` for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        # A name may be understood, and the device not be there.
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # what torch raises depends on the device
        gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        raise InvalidConfig(
            f"device {name!r} is not there; expected one of: auto, {', '.join(['cpu', *gpus])}"
        ) from error
    return device


def placed(model: M, device: str = "auto", dtype: str = "auto") -> M:
    """The model on its device, with matrix products in `dtype`: "fp32", "bf16", or auto: bf16 on GPUs that have units for it.

    Weights, the residual stream and the softmax stay in fp32. Raises `InvalidConfig`.
    """
    if dtype not in DTYPES:
        raise InvalidConfig(f"dtype is {dtype!r}; expected one of: {', '.join(DTYPES)}")
    there = device_of(device)
    if dtype == "auto":
        dtype = "bf16" if there.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    model = model.to(there)
    if dtype == "bf16":
        # Products in bf16 for every caller: nobody has to open autocast.
        model.forward = torch.autocast(there.type, torch.bfloat16)(model.forward)
    return model
