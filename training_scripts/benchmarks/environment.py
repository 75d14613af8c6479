"""The machine and the versions that numbers belong to."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from hf_multitask.modeling.processor import processor

from .variant import Skip

PACKAGES = (
    *("torch", "transformers", "accelerate", "datasets", "sentence-transformers", "onnxruntime", "openvino"),
    *("torchjd", "tasknet", "tokenizers", "numpy", "pyarrow"),
)
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def environment(device: str) -> dict[str, Any]:
    """CPU, device, versions and commit."""
    info = _cpu_info()
    flags = set(info.get("flags", "").split())
    return {
        "cpu": info.get("model name", platform.processor()),
        "cpu_family_model": f"{info.get('cpu family', '?')}/{info.get('model', '?')}",
        "flags": {flag: flag in flags for flag in FLAGS},
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": _memory_gib(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "native_bf16": native_bf16(device),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "commit": _commit(),
        "load_average": os.getloadavg(),
    }


def native_bf16(device: str) -> bool:
    """Whether the device multiplies in bfloat16 by itself; elsewhere it is emulated, and far slower than float32."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return processor().bf16


def need_bf16(device: str) -> None:
    """Raise [`Skip`] where bfloat16 is emulated."""
    if not native_bf16(device):
        raise Skip("this device has no native bfloat16")


def _cpu_info() -> dict[str, str]:
    """What Linux tells of its first CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _memory_gib() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the code measured, marked where files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+changes" if changed.stdout.strip() else "")
