# The peer of `rsic bench models`: only public classes of torch, transformers and Pillow are called.
import json, resource, sys, time
import torch
from torch import nn
task, folder, captions, steps, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
if threads:
    torch.set_num_threads(int(threads))
begin = time.perf_counter()
if task == "embed":
    import numpy
    from PIL import Image
    from transformers import CLIPConfig, CLIPVisionModelWithProjection
    config = CLIPConfig.from_pretrained(folder + "/clip")
    vision = config.vision_config
    vision.projection_dim = config.projection_dim
    model = CLIPVisionModelWithProjection.from_pretrained(folder + "/clip", config=vision).eval()
    paths = json.load(open(folder + "/pictures.json"))
    mean = numpy.array([0.48145466, 0.4578275, 0.40821073], dtype="float32")
    std = numpy.array([0.26862954, 0.26130258, 0.27577711], dtype="float32")
    def open_one(path):
        image = Image.open(path).convert("RGB")
        scale = 224 / min(image.size)
        image = image.resize([max(224, int(side * scale)) for side in image.size], Image.BICUBIC)
        left, top = (image.size[0] - 224) // 2, (image.size[1] - 224) // 2
        image = numpy.asarray(image.crop((left, top, left + 224, top + 224)), dtype="float32") / 255
        return torch.from_numpy(((image - mean) / std).transpose(2, 0, 1))
    loaded = time.perf_counter()
    with torch.inference_mode():
        for at in range(0, len(paths), 32):
            model(pixel_values=torch.stack([open_one(path) for path in paths[at:at + 32]])).image_embeds
    unit, count = "images", len(paths)
else:
    from safetensors.torch import load_file
    from transformers import GPT2LMHeadModel
    F = nn.functional
    gpt = GPT2LMHeadModel.from_pretrained(folder + "/gpt2").eval()
    k, width, mapper = 20, gpt.config.n_embd, task.split(".")[1]
    weights = load_file(f"{folder}/{mapper}.safetensors")
    def get(name):
        return weights["clip_project." + name]
    def linear(x, name):
        return F.linear(x, get(name + ".weight"), weights.get("clip_project." + name + ".bias"))
    def prefix_of(c):
        n = len(c)
        if mapper == "mlp":
            return linear(torch.tanh(linear(c, "model.0")), "model.2").view(n, k, width)
        z = torch.cat((linear(c, "linear").view(n, k, width), get("prefix_const").expand(n, k, width)), 1)
        heads = lambda x: x.view(n, 2 * k, 16, width // 16).transpose(1, 2)
        for layer in range(16):
            at = f"transformer.layers.{layer}."
            norm = lambda x, name: F.layer_norm(x, (width,), get(at + name + ".weight"), get(at + name + ".bias"))
            x = norm(z, "norm1")
            q = heads(linear(x, at + "attn.to_queries"))
            if mapper == "amht":
                q = q @ get(at + "attn.adaptive_weights") + get(at + "attn.adaptive_biases").unsqueeze(1)
            keys, values = linear(x, at + "attn.to_keys_values").chunk(2, -1)
            x = F.scaled_dot_product_attention(q, heads(keys), heads(values))
            z = z + linear(x.transpose(1, 2).reshape(n, 2 * k, width), at + "attn.project")
            z = z + linear(torch.relu(linear(norm(z, "norm2"), at + "mlp.fc1")), at + "mlp.fc2")
        return z[:, k:]
    if task.startswith("train"):
        for weight in gpt.parameters():
            weight.requires_grad_(False)
        for weight in weights.values():
            weight.requires_grad_(True)
        optimiser = torch.optim.AdamW(weights.values(), lr=2e-5)
        rows = json.load(open(folder + "/tokens.json"))
        def step(rows):
            longest = max(len(row) for row in rows)
            ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
            targets = torch.tensor([row + [-100] * (longest - len(row)) for row in rows])
            prefix = prefix_of(torch.randn(len(rows), 512))
            inputs = torch.cat((prefix, gpt.transformer.wte(ids)), 1)
            logits = gpt(inputs_embeds=inputs).logits[:, k - 1:-1]
            nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100).backward()
            optimiser.step()
            optimiser.zero_grad()
        step(rows[:12])
        loaded = time.perf_counter()
        for at in range(steps):
            first = 12 * (at + 1) % (len(rows) - 11)
            step(rows[first:first + 12])
        unit, count = "steps", steps
    else:
        torch.manual_seed(1)
        vectors = torch.randn(captions, 512) * 0.4
        mask = torch.ones(captions, k, dtype=torch.long)
        gpt.generation_config.eos_token_id = None
        loaded = time.perf_counter()
        with torch.inference_mode():
            gpt.generate(inputs_embeds=prefix_of(vectors), attention_mask=mask,
                         num_beams=5 if task.endswith("beam") else 1, max_new_tokens=15, do_sample=False, pad_token_id=0)
        unit, count = "captions", captions
seconds = time.perf_counter() - loaded
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print("RESULT " + json.dumps({"task": task, "unit": unit, "count": count, "seconds": seconds,
                              "load_seconds": loaded - begin, "peak_bytes": peak}))
