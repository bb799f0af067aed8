"""A tiny checkpoint of random words in each packed layout, unpacked by the formulas that the layouts' own programs publish
(AutoGPTQ's and AutoAWQ's torch fall-backs, compressed-tensors' unpack_from_int32, bitsandbytes' dequantize, DeepSeek's
weight_dequant, transformers' mxfp4), and what transformers computes of the unpacked weights in float32.

python packed.py OUT writes a folder for each. Made with torch 2.11 and transformers 5.17.
"""
import json, math, os, sys
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

G = torch.Generator().manual_seed(7)
CONFIG = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, head_dim=8, vocab_size=48, max_position_embeddings=64,
              pad_token_id=0, bos_token_id=1, eos_token_id=2)

def words(*shape): return torch.randint(-2**31, 2**31, shape, generator=G, dtype=torch.int64).to(torch.int32)
def scales(*shape, to=torch.float16, size=0.03): return (size * (0.5 + torch.rand(shape, generator=G))).to(to)

def gptq(out, inp, bits, group, v2=False, order=False):
    """AutoGPTQ's QuantLinear.forward without a kernel."""
    groups, mask = inp // group, 2**bits - 1
    t = dict(qweight=words(inp * bits // 32, out), qzeros=words(groups, out * bits // 32), scales=scales(groups, out, size=0.4 / 2**bits))
    g = torch.arange(inp) // group
    if order: g = g[torch.randperm(inp, generator=G)]
    t["g_idx"] = g.to(torch.int32)
    if bits == 3:
        wf = torch.tensor([[0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0], [0, 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31], [0, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0]], dtype=torch.int32)
        def unpack(w):  # [rows, words] along the last dimension
            z = (w.reshape(w.shape[0], -1, 3, 1).expand(-1, -1, -1, 12) >> wf[None, None]).clone()
            z[:, :, 0, 10] = (z[:, :, 0, 10] & 3) | ((z[:, :, 1, 0] << 2) & 4)
            z[:, :, 1, 11] = (z[:, :, 1, 11] & 1) | ((z[:, :, 2, 0] << 1) & 6)
            z = z & 7
            return torch.cat([z[:, :, 0, :11], z[:, :, 1, 1:12], z[:, :, 2, 1:11]], dim=2).reshape(w.shape[0], -1)
    else:
        wf = torch.arange(0, 32, bits, dtype=torch.int32)
        def unpack(w): return ((w[:, :, None] >> wf) & mask).reshape(w.shape[0], -1)
    zeros = unpack(t["qzeros"])
    if not v2: zeros = (zeros + 1) & mask
    q = unpack(t["qweight"].T.contiguous())  # [out, in]
    return t, t["scales"].float().T[:, g] * (q - zeros.T[:, g]).float()

def awq(out, inp, group):
    t = dict(qweight=words(inp, out // 8), qzeros=words(inp // group, out // 8), scales=scales(inp // group, out))
    def unpack(w):
        n = (w[:, :, None] >> torch.arange(0, 32, 4, dtype=torch.int32)) & 15
        return n[:, :, [0, 4, 1, 5, 2, 6, 3, 7]].reshape(w.shape[0], -1)
    q, z = unpack(t["qweight"]), unpack(t["qzeros"]).repeat_interleave(group, 0)
    return t, ((q - z).float() * t["scales"].float().repeat_interleave(group, 0)).T

def unpack_words(w, bits, count, dense):
    """compressed-tensors' unpack_from_int32 along the last dimension; signed."""
    u, per = w.to(torch.int64) & 0xFFFFFFFF, 32 // bits
    codes = []
    for i in range(count):
        if dense:
            a, s = divmod(i * bits, 32)
            v = u[:, a] >> s
            if s + bits > 32: v = v | (u[:, a + 1] << (32 - s))
        else: v = u[:, i // per] >> (i % per * bits)
        codes.append(v & (2**bits - 1))
    return torch.stack(codes, 1) - 2**(bits - 1)

def ct(out, inp, bits, group, symmetric, dense=True):
    per = 32 // bits
    count = lambda n: math.ceil(n * bits / 32) if dense else math.ceil(n / per)
    t = dict(weight_packed=words(out, count(inp)), weight_scale=scales(out, inp // group, to=torch.bfloat16, size=0.4 / 2**bits), weight_shape=torch.tensor([out, inp]))
    q = unpack_words(t["weight_packed"], bits, inp, dense)
    z = torch.zeros(out, inp // group)
    if not symmetric:
        t["weight_zero_point"] = words(count(out), inp // group)
        z = unpack_words(t["weight_zero_point"].T.contiguous(), bits, out, dense).T
    return t, (q - z.repeat_interleave(group, 1)).float() * t["weight_scale"].float().repeat_interleave(group, 1)

def nf4(out, inp):
    level = torch.tensor([-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534,
                          0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0])
    blocks = out * inp // 64
    t = dict(weight=torch.randint(0, 256, (out * inp // 2, 1), generator=G, dtype=torch.uint8))
    t["weight.absmax"] = torch.randint(0, 256, (blocks,), generator=G, dtype=torch.uint8)
    t["weight.quant_map"] = level
    t["weight.nested_absmax"] = scales(math.ceil(blocks / 256), to=torch.float32, size=0.2)
    t["weight.nested_quant_map"] = torch.sort(2 * torch.rand(256, generator=G) - 1).values
    state = dict(quant_type="nf4", blocksize=64, dtype="bfloat16", shape=[out, inp], nested_blocksize=256, nested_dtype="float32", nested_offset=0.25)
    t["weight.quant_state.bitsandbytes__nf4"] = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
    absmax = t["weight.nested_quant_map"][t["weight.absmax"].long()] * t["weight.nested_absmax"].repeat_interleave(256)[:blocks] + 0.25
    byte = t["weight"].flatten().long()
    w = level[torch.stack([byte >> 4, byte & 15], 1).flatten()].reshape(blocks, 64) * absmax[:, None]
    return t, w.reshape(out, inp)

def fp8(out, inp, block):
    w = (4 * torch.randn(out, inp, generator=G)).to(torch.float8_e4m3fn)
    s = scales(math.ceil(out / block[0]), math.ceil(inp / block[1]), to=torch.float32)
    return dict(weight=w, weight_scale_inv=s), w.float() * s.repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)[:out, :inp]

LAYOUTS = {
    "gptq-4bit": (lambda o, i: gptq(o, i, 4, 16), dict(quant_method="gptq", bits=4, group_size=16, desc_act=False, sym=False)),
    "gptq-3bit-act-order": (lambda o, i: gptq(o, i, 3, 16, order=True), dict(quant_method="gptq", bits=3, group_size=16, desc_act=True, sym=False)),
    "gptq-8bit-v2": (lambda o, i: gptq(o, i, 8, 32, v2=True), dict(quant_method="gptq", bits=8, group_size=32, desc_act=False, sym=False, checkpoint_format="gptq_v2")),
    "gptq-2bit": (lambda o, i: gptq(o, i, 2, 32), dict(quant_method="gptq", bits=2, group_size=32, desc_act=False, sym=False, checkpoint_format="gptq")),
    "awq": (lambda o, i: awq(o, i, 32), dict(quant_method="awq", bits=4, group_size=32, zero_point=True, version="gemm", modules_to_not_convert=None)),
    "ct-4bit-asymmetric": (lambda o, i: ct(o, i, 4, 32, False), dict(format="pack-quantized", bits=4)),
    "ct-8bit": (lambda o, i: ct(o, i, 8, 32, True), dict(format="pack-quantized", bits=8)),
    "ct-3bit-dense": (lambda o, i: ct(o, i, 3, 32, False), dict(format="pack-quantized", bits=3)),
    "ct-3bit-padded": (lambda o, i: ct(o, i, 3, 32, False, dense=False), dict(format="pack-quantized", bits=3)),
    "nf4": (nf4, dict(quant_method="bitsandbytes", load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype="bfloat16")),
    "fp8-blocks": (lambda o, i: fp8(o, i, (24, 16)), dict(quant_method="fp8", fmt="e4m3", activation_scheme="dynamic", weight_block_size=[24, 16])),
    "mxfp4": (None, dict(quant_method="mxfp4", modules_to_not_convert=["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"])),
}

def mxfp4(model, t):
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors
    experts = model.model.layers[0].mlp.experts
    for name in ("gate_up_proj", "down_proj"):
        p = getattr(experts, name)
        e, i, o = p.shape
        blocks = torch.randint(0, 256, (e, o, i // 32, 16), generator=G, dtype=torch.uint8)
        exponents = torch.randint(121, 124, (e, o, i // 32), generator=G, dtype=torch.uint8)
        p.copy_(convert_moe_packed_tensors(blocks, exponents, dtype=torch.float32).reshape(e, i, o))
        prefix = f"model.layers.0.mlp.experts.{name}"
        del t[prefix]
        t[prefix + "_blocks"], t[prefix + "_scales"] = blocks, exponents

def make(out, name):
    pack, quantization = LAYOUTS[name]
    more = dict(model_type="llama") if pack else dict(model_type="gpt_oss", num_local_experts=3, num_experts_per_tok=2, sliding_window=8)
    config = AutoConfig.for_model(**more, **dict(CONFIG, num_key_value_heads=4 if "3bit" in name else 2))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for p in model.parameters(): p.copy_((0.3 * torch.randn(p.shape, generator=G) + (p.ndim == 1)).bfloat16().float())
        t = {k: v.bfloat16().contiguous() for k, v in model.state_dict().items()}
        if pack is None: mxfp4(model, t)
        else:
            for module, linear in model.model.named_modules():
                if not isinstance(linear, torch.nn.Linear): continue
                parts, w = pack(linear.out_features, linear.in_features)
                linear.weight.copy_(w)
                del t[f"model.{module}.weight"]
                t.update({f"model.{module}.{k}": v.contiguous() for k, v in parts.items()})
        if "format" in quantization:
            weights = dict(num_bits=quantization.pop("bits"), type="int", symmetric="asymmetric" not in name and "3bit" not in name, strategy="group", group_size=32)
            quantization = dict(quant_method="compressed-tensors", config_groups=dict(group_0=dict(targets=["Linear"], weights=weights, input_activations=None)), ignore=["lm_head"], **quantization)
        ids = torch.randint(3, 48, (1, 16), generator=torch.Generator().manual_seed(3))
        logits = model(input_ids=ids).logits[0]
    folder = os.path.join(out, name)
    os.makedirs(folder, exist_ok=True)
    save_file(t, f"{folder}/model.safetensors", metadata=dict(format="pt"))
    c = config.to_dict()
    c["quantization_config"] = quantization
    json.dump(c, open(f"{folder}/config.json", "w"), indent=1)
    positions = [0, 1, 7, 15]
    json.dump(dict(transformers=transformers.__version__, input_ids=ids[0].tolist(), logits_positions=positions, logits=[[round(x, 6) for x in logits[p].tolist()] for p in positions]), open(f"{folder}/golden.json", "w"))

if __name__ == "__main__":
    for name in LAYOUTS:
        try: make(sys.argv[1], name)
        except Exception as e: print(name, "FAILED", type(e).__name__, str(e)[:300].replace("\n", " "))
