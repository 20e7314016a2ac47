"""What the official Python package makes of the f32 files in a folder that `rwkv lab fidelity --keep FOLDER` wrote.

    python -m venv .venv && .venv/bin/pip install rwkv torch numpy
    .venv/bin/python bench/peers/python/logits.py FOLDER

Beside each file it leaves the logits after every token, as f32. Nothing of this package needs it.
"""
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def safetensors(path):
    """The tensors of a file of f32."""
    import numpy as np
    import torch

    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    tensors = {}
    for name, tensor in json.loads(raw[8:start]).items():
        if name == "__metadata__":
            continue
        begin, end = tensor["data_offsets"]
        numbers = np.frombuffer(raw[start + begin:start + end], "<f4").reshape(tensor["shape"])
        tensors[name] = torch.from_numpy(numbers.copy())
    return tensors


def run(path, ids):
    """One file in this process: the package decides when it is imported whether it runs version 7."""
    import torch
    from rwkv.model import RWKV

    # Releases before 2.1 do not know this argument, and do not need it.
    load = torch.load
    torch.load = lambda *args, mmap=None, **more: load(*args, **more)
    try:
        by = f"rwkv {version('rwkv')}, torch {torch.__version__}"
    except PackageNotFoundError:
        by = f"rwkv, torch {torch.__version__}"
    with tempfile.TemporaryDirectory() as folder:
        # The package reads what torch.save writes.
        torch.save(safetensors(path), f"{folder}/model.pth")
        model = RWKV(model=f"{folder}/model", strategy="cpu fp32")
    state, rows = None, []
    for token in ids:
        logits, state = model.forward([token], state)
        rows.append(logits.float().clone())
    logits = torch.stack(rows).numpy().astype("<f4")
    Path(f"{path}.{by}.logits").write_bytes(logits.tobytes())
    print(f"{path.name}: {logits.shape[0]} tokens, {logits.size} numbers, {by}")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    texts = json.loads((folder / "tokens.json").read_text())
    if len(sys.argv) > 2:
        run(folder / sys.argv[2], texts[sys.argv[2]])
        sys.exit()
    for name in texts:
        if not name.endswith(".f32.safetensors"):
            continue
        settings = {"RWKV_JIT_ON": "0", "RWKV_CUDA_ON": "0", "RWKV_V7_ON": "1" if name.startswith("v7") else "0"}
        subprocess.run([sys.executable, __file__, str(folder), name], env=os.environ | settings)
