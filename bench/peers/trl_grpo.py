"""The TRL side of the GRPO step benchmark: GRPOTrainer on CPU at its best settings (KV cache, no vLLM).

Reads one JSON command a line; the first opens the trainer and runs its warm-up in a thread that blocks in the
reward function between steps, so that single steps can be interleaved with the other side.
"""
import json, os, queue, sys, tempfile, threading, time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
protocol = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # TRL prints to standard output; keep the protocol clean

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

go, done = queue.Queue(), queue.Queue()


class Gate(TrainerCallback):
    def on_step_begin(self, args, state, control, **_):
        go.get()
        self.start = time.perf_counter()

    def on_step_end(self, args, state, control, **_):
        done.put((time.perf_counter() - self.start) * 1e3)


def reward(completion_ids, **_):
    return [sum(t % 2 for t in ids) / max(1, len(ids)) for ids in completion_ids]


def open_trainer(a):
    torch.set_num_threads(a["threads"])
    tokenizer = AutoTokenizer.from_pretrained(a["folder"])
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(a["folder"], dtype=torch.float32)
    model.generation_config.eos_token_id = None
    config = GRPOConfig(
        output_dir=tempfile.mkdtemp(), use_cpu=True, bf16=False, fp16=False, max_steps=10_000, learning_rate=1e-4,
        per_device_train_batch_size=a["prompts"] * a["samples"], num_generations=a["samples"],
        max_completion_length=a["completion"], temperature=1.0, top_p=1.0, beta=0.0, loss_type="grpo",
        logging_strategy="no", save_strategy="no", report_to=[], gradient_checkpointing=False, disable_tqdm=True,
        lr_scheduler_type="constant", generation_kwargs={"min_new_tokens": a["completion"], "eos_token_id": None},
        **({"max_prompt_length": None} if "max_prompt_length" in GRPOConfig.__dataclass_fields__ else {}),
    )
    data = Dataset.from_dict({"prompt": a["texts"] * 500})
    trainer = GRPOTrainer(model=model, reward_funcs=reward, args=config, train_dataset=data, processing_class=tokenizer, callbacks=[Gate()])
    threading.Thread(target=trainer.train, daemon=True).start()
    lengths = [len(tokenizer(t)["input_ids"]) for t in a["texts"]]
    import trl, transformers
    return {"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__, "prompt_tokens": lengths}


for line in sys.stdin:
    a = json.loads(line)
    if a["do"] == "open":
        out = open_trainer(a)
    else:
        go.put(1)
        out = {"ms": done.get()}
    print(json.dumps(out), file=protocol, flush=True)
os._exit(0)
