"""The PyTorch side of the training and decoding benchmarks: a plain decoder, as a person would write it for speed.

Reads one JSON command a line from standard input, answers one JSON line each. The model is read from a Hugging
Face folder, so that both sides compute the same function of the same weights.
"""
import json, resource, sys, time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


class Decoder(torch.nn.Module):
    def __init__(self, folder):
        super().__init__()
        c = json.load(open(f"{folder}/config.json"))
        self.c = c
        self.H, self.KV = c["num_attention_heads"], c["num_key_value_heads"]
        self.hd = c.get("head_dim") or c["hidden_size"] // self.H
        weights = {k: v.float() for k, v in load_file(f"{folder}/model.safetensors").items()}
        self.names = list(weights)
        self.w = torch.nn.ParameterDict({k.replace(".", "/"): torch.nn.Parameter(v) for k, v in weights.items()})
        theta = c.get("rope_theta") or c["rope_parameters"]["rope_theta"]
        inv = 1.0 / theta ** (torch.arange(0, self.hd, 2).float() / self.hd)
        angle = torch.outer(torch.arange(c["max_position_embeddings"]).float(), inv)
        self.cos, self.sin = torch.cat((angle.cos(),) * 2, -1), torch.cat((angle.sin(),) * 2, -1)

    def p(self, name):
        return self.w[name.replace(".", "/")]

    def norm(self, x, name):
        return F.rms_norm(x, (x.shape[-1],), self.p(name), self.c["rms_norm_eps"])

    def head(self):
        return self.p("model.embed_tokens.weight" if self.c.get("tie_word_embeddings") else "lm_head.weight")

    def qkv(self, x, i):
        B, T, _ = x.shape
        a = f"model.layers.{i}.self_attn."
        q = F.linear(x, self.p(a + "q_proj.weight")).view(B, T, self.H, self.hd).transpose(1, 2)
        k = F.linear(x, self.p(a + "k_proj.weight")).view(B, T, self.KV, self.hd).transpose(1, 2)
        v = F.linear(x, self.p(a + "v_proj.weight")).view(B, T, self.KV, self.hd).transpose(1, 2)
        return q, k, v

    def rest(self, x, attended, i):
        x = x + F.linear(attended, self.p(f"model.layers.{i}.self_attn.o_proj.weight"))
        h = self.norm(x, f"model.layers.{i}.post_attention_layernorm.weight")
        m = f"model.layers.{i}.mlp."
        gate = F.silu(F.linear(h, self.p(m + "gate_proj.weight"))) * F.linear(h, self.p(m + "up_proj.weight"))
        return x + F.linear(gate, self.p(m + "down_proj.weight"))

    def forward(self, ids):
        """ids [B, T] → hidden [B, T, D] after the final norm."""
        B, T = ids.shape
        x = F.embedding(ids, self.p("model.embed_tokens.weight"))
        cos, sin = self.cos[:T], self.sin[:T]
        for i in range(self.c["num_hidden_layers"]):
            q, k, v = self.qkv(self.norm(x, f"model.layers.{i}.input_layernorm.weight"), i)
            o = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True, enable_gqa=True)
            x = self.rest(x, o.transpose(1, 2).reshape(B, T, -1), i)
        return self.norm(x, "model.norm.weight")

    @torch.no_grad()
    def decode(self, x, caches, position):
        """One token a row: x [B] ids → logits [B, V]; caches are preallocated [B, KV, M, hd]."""
        B = x.shape[0]
        x = F.embedding(x, self.p("model.embed_tokens.weight")).unsqueeze(1)
        cos, sin = self.cos[position : position + 1], self.sin[position : position + 1]
        for i, (K, V) in enumerate(caches):
            q, k, v = self.qkv(self.norm(x, f"model.layers.{i}.input_layernorm.weight"), i)
            K[:, :, position : position + 1] = rotate(k, cos, sin)
            V[:, :, position : position + 1] = v
            q = rotate(q, cos, sin).view(B, self.KV, self.H // self.KV, self.hd)
            o = F.scaled_dot_product_attention(q, K[:, :, : position + 1], V[:, :, : position + 1])
            x = self.rest(x, o.reshape(B, 1, -1), i)
        return F.linear(self.norm(x, "model.norm.weight")[:, 0], self.head())


def main():
    model = ids = gradient = caches = None
    for line in sys.stdin:
        a = json.loads(line)
        start = time.perf_counter()
        out = {}
        if a["do"] == "open":
            torch.set_num_threads(a["threads"])
            model = Decoder(a["folder"])
            out["torch"] = torch.__version__
        elif a["do"] == "batch":
            ids = torch.tensor(a["tokens"]).view(a["rows"], a["width"])
            gradient = torch.tensor(a["gradient"]).view(a["rows"], a["width"] - 1)
        elif a["do"] in ("forward", "train"):
            with torch.set_grad_enabled(a["do"] == "train"):
                hidden = model(ids)[:, :-1]
                logits = F.linear(hidden, model.head())
                logprobs = -F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view_as(gradient)
                if a["do"] == "train":
                    for p in model.parameters():
                        p.grad = None
                    start_backward = time.perf_counter()
                    (logprobs * gradient).sum().backward()
                    out["backward_ms"] = (time.perf_counter() - start_backward) * 1e3
            out["logprob_sum"] = float(logprobs.double().sum())
            if a["do"] == "train":
                out["gradient_norms"] = {n.replace("/", "."): float(p.grad.double().norm()) for n, p in model.w.items()} if a.get("norms") else {}
        elif a["do"] == "cache":
            B, M = a["batch"], a["length"]
            shape = (B, model.KV, M, model.hd)
            generator = torch.Generator().manual_seed(0)
            caches = [tuple(torch.randn(shape, generator=generator) for _ in range(2)) for _ in range(model.c["num_hidden_layers"])]
        elif a["do"] == "decode":
            token = torch.ones(a["batch"], dtype=torch.long)
            for step in range(a["steps"]):
                logits = model.decode(token, caches, a["position"] + step)
                token = torch.multinomial(torch.softmax(logits, -1), 1)[:, 0]
        elif a["do"] == "matmul":
            n = a["n"]
            A, B = torch.randn(n, n), torch.randn(n, n)
            start = time.perf_counter()
            for _ in range(a["repeat"]):
                A @ B
        out["ms"] = (time.perf_counter() - start) * 1e3
        out["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(out), flush=True)


main()
