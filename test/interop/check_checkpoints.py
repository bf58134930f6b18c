"""Loads what check-checkpoints.ts wrote with transformers, peft and safetensors, and compares logits with the originals.

    python test/interop/check_checkpoints.py <written> <test/fixtures>
"""

import json
import sys
import warnings
from pathlib import Path

import peft
import torch
import transformers
from safetensors import safe_open

warnings.filterwarnings("error", message=".*not initialized from the model checkpoint.*")
transformers.logging.set_verbosity_error()

TOKENS = torch.tensor([[5, 17, 30, 4, 4, 61, 2, 9]])


def logits(model):
    with torch.no_grad():
        return model.double().eval()(TOKENS).logits


def load(folder):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[kind], f"{folder}: {kind} {info[kind]}"
    return model


def check_models(written, fixtures):
    for folder in sorted(path for path in (written / "models").iterdir()):
        name, number_format = folder.name.rsplit("-", 1)
        original = load(fixtures / "models" / name)
        saved = load(folder)
        wanted = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[number_format]
        assert saved.dtype == wanted, f"{folder}: loaded as {saved.dtype}"
        with safe_open(folder / "model.safetensors", framework="pt") as file:
            assert file.metadata() == {"format": "pt"}
            stored = {file.get_tensor(key).dtype for key in file.keys()}
            assert stored == {wanted}, stored
        # The original narrowed by PyTorch must be what Troupe narrowed: same rounding, bit for bit.
        # (model.to() would also narrow the rotary frequencies, in place.)
        for key, tensor in original.state_dict().items():
            assert torch.equal(tensor.to(wanted), saved.state_dict()[key]), f"{folder}: {key} differs"
        if wanted in (torch.float32, original.dtype):
            difference = (logits(original) - logits(saved)).abs().max().item()
            assert difference == 0, f"{folder}: logits differ by {difference}"
        assert saved.generation_config.eos_token_id == [2, 3]
        print(f"{folder.name}: {sum(1 for _ in saved.parameters())} tensors as {wanted} equal")


def check_adapter(written, fixtures):
    def adapted(folder):
        return peft.PeftModel.from_pretrained(load(fixtures / "models" / "llama"), folder)

    original = logits(adapted(fixtures / "adapters" / "llama-lora"))
    saved = logits(adapted(written / "adapter"))
    assert torch.equal(original, saved), (original - saved).abs().max()
    assert not torch.equal(saved, logits(load(fixtures / "models" / "llama")))
    print("adapter: logits equal")


def check_changed(written, fixtures):
    """One weight was changed before saving: the comparison above can fail."""
    original = logits(load(fixtures / "models" / "llama"))
    assert not torch.equal(original, logits(load(written / "changed"))), "a changed weight went unnoticed"
    print("changed: logits differ, as they must")


if __name__ == "__main__":
    written, fixtures = map(Path, sys.argv[1:])
    check_models(written, fixtures)
    check_adapter(written, fixtures)
    check_changed(written, fixtures)
    print(json.dumps({"transformers": transformers.__version__, "peft": peft.__version__, "torch": torch.__version__}))
