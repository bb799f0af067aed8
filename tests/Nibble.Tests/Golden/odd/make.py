"""Tiny random checkpoints with settings that are not the usual ones, and what transformers computes of them in float32.

python odd.py OUT [NAME ...] writes a folder for each: config.json, model.safetensors (bfloat16), golden.json.
Made with torch 2.11 and transformers 5.17.
"""
import json, os, sys
import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText

BASE = dict(hidden_size=36, intermediate_size=50, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, vocab_size=97,
            max_position_embeddings=256, pad_token_id=0, bos_token_id=1, eos_token_id=2)
VISION = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)

def text(model_type, **more):
    return dict(BASE, **{"model_type": model_type, **more})

MODELS = {
    "llama-odd": text("llama", head_dim=10, attention_bias=True, mlp_bias=True, tie_word_embeddings=True),
    "llama-dynamic-short": dict(text("llama", head_dim=8, rope_parameters=dict(rope_type="dynamic", factor=3.0, rope_theta=5000.0)), max_position_embeddings=16, hidden_size=40, num_attention_heads=5, num_key_value_heads=5),
    "llama-llama3": text("llama", head_dim=12, rope_parameters=dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=3.0, original_max_position_embeddings=32, rope_theta=20000.0)),
    "llama-yarn-mscale": text("llama", head_dim=12, rope_parameters=dict(rope_type="yarn", factor=3.0, original_max_position_embeddings=20, rope_theta=20000.0, mscale=0.7, mscale_all_dim=0.4, beta_fast=16.0)),
    "mistral-window3": dict(text("mistral", head_dim=8, sliding_window=3, tie_word_embeddings=True), num_hidden_layers=3),
    "mistral-null": text("mistral", head_dim=12, sliding_window=None),
    "mixtral-top1": text("mixtral", head_dim=12, intermediate_size=52, num_local_experts=3, num_experts_per_tok=1, sliding_window=None),
    "qwen2-window": dict(text("qwen2", use_sliding_window=True, sliding_window=5, max_window_layers=1), num_hidden_layers=3, hidden_size=56, num_attention_heads=7),
    "qwen3-odd": dict(text("qwen3", head_dim=12, attention_bias=True, tie_word_embeddings=True), num_key_value_heads=3),
    "qwen3-moe-sparse": dict(text("qwen3_moe", head_dim=12, decoder_sparse_step=2, mlp_only_layers=[3], norm_topk_prob=False, num_experts=6, num_experts_per_tok=3, moe_intermediate_size=20), num_hidden_layers=4),
    "gemma2-odd": dict(text("gemma2", head_dim=10, query_pre_attn_scalar=7, attn_logit_softcapping=20.0, final_logit_softcapping=10.0, sliding_window=4), num_hidden_layers=3),
    "gemma3-odd": dict(text("gemma3_text", head_dim=10, query_pre_attn_scalar=13, attention_bias=True, sliding_window=3, final_logit_softcapping=12.0, layer_types=["sliding_attention", "full_attention"] * 2,
                            rope_parameters=dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=50000.0), sliding_attention=dict(rope_type="default", rope_theta=700.0))), num_hidden_layers=4),
    "phi3-partial": dict(text("phi3", sliding_window=6, rope_parameters=dict(rope_type="default", rope_theta=3000.0, partial_rotary_factor=0.5)), hidden_size=48, num_attention_heads=6, num_key_value_heads=2),
    "phi3-longrope-short": dict(text("phi3", original_max_position_embeddings=64, rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, long_factor=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], short_factor=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5], original_max_position_embeddings=64))),
    "smollm3-interval2": dict(text("smollm3", no_rope_layer_interval=2, attention_bias=True, tie_word_embeddings=True, use_sliding_window=False), num_hidden_layers=3),
    "olmo2-bias": text("olmo2", attention_bias=True, tie_word_embeddings=True),
    "granite-odd": text("granite", attention_bias=True, mlp_bias=True, attention_multiplier=0.3, embedding_multiplier=3.0, residual_multiplier=0.4, logits_scaling=5.0, tie_word_embeddings=True),
    "cohere2-odd": dict(text("cohere2", attention_bias=True, sliding_window=5, logit_scale=0.3, layer_types=["full_attention", "sliding_attention", "sliding_attention"]), num_hidden_layers=3),
    "glm4-quarter": text("glm4", head_dim=16, attention_bias=False, rope_parameters=dict(rope_type="default", rope_theta=5000.0, partial_rotary_factor=0.25)),
    "gpt-oss-odd": dict(text("gpt_oss", head_dim=12, intermediate_size=52, num_local_experts=5, num_experts_per_tok=3, sliding_window=5, attention_bias=True,
                             rope_parameters=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, rope_theta=1500.0, beta_fast=8.0, beta_slow=1.0, truncate=True)), num_hidden_layers=3),
    "deepseek-v3-odd": dict(text("deepseek_v3", q_lora_rank=None, kv_lora_rank=20, qk_nope_head_dim=8, qk_rope_head_dim=6, v_head_dim=10, n_group=1, topk_group=1, n_routed_experts=5, num_experts_per_tok=3,
                                 n_shared_experts=2, first_k_dense_replace=0, norm_topk_prob=False, routed_scaling_factor=1.5, moe_intermediate_size=16, rope_interleave=False,
                                 rope_parameters=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, rope_theta=1500.0, mscale=1.0, mscale_all_dim=1.0)), num_key_value_heads=3),
    "deepseek-v2-greedy": dict(text("deepseek_v2", q_lora_rank=None, kv_lora_rank=20, qk_nope_head_dim=8, qk_rope_head_dim=6, v_head_dim=10, n_group=1, topk_group=1, n_routed_experts=6, num_experts_per_tok=2,
                                    n_shared_experts=1, first_k_dense_replace=1, norm_topk_prob=False, routed_scaling_factor=1.0, moe_intermediate_size=16, topk_method="greedy"), num_key_value_heads=3),
    "deepseek-v2-groups": dict(text("deepseek_v2", q_lora_rank=24, kv_lora_rank=20, qk_nope_head_dim=8, qk_rope_head_dim=6, v_head_dim=10, n_group=3, topk_group=2, n_routed_experts=6, num_experts_per_tok=2,
                                    n_shared_experts=2, first_k_dense_replace=1, norm_topk_prob=False, routed_scaling_factor=16.0, moe_intermediate_size=16, topk_method="group_limited_greedy",
                                    rope_parameters=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, rope_theta=1500.0, mscale=0.707, mscale_all_dim=0.707)), num_key_value_heads=3),
    "stablelm-odd": dict(text("stablelm", qk_layernorm=True, use_parallel_residual=True, use_qkv_bias=False, rope_parameters=dict(rope_type="default", rope_theta=5000.0, partial_rotary_factor=0.5)), hidden_size=48, num_attention_heads=6, num_key_value_heads=2),
    "starcoder2-odd": text("starcoder2", use_bias=False, sliding_window=4, hidden_act="gelu", tie_word_embeddings=False),
    "gpt-neox-serial": text("gpt_neox", use_parallel_residual=False, attention_bias=False, hidden_act="relu", tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=5000.0, partial_rotary_factor=0.5)),
    "gpt2-odd": dict(model_type="gpt2", n_embd=36, n_inner=40, n_layer=2, n_head=3, n_positions=64, vocab_size=97, scale_attn_by_inverse_layer_idx=True, activation_function="relu", bos_token_id=1, eos_token_id=2),
    "bert-odd": dict(text("bert", hidden_act="relu", type_vocab_size=3, layer_norm_eps=1e-5), max_position_embeddings=64),
    "modernbert-odd": dict(text("modernbert", global_attn_every_n_layers=2, local_attention=6, attention_bias=True, mlp_bias=True, cls_token_id=3, sep_token_id=4), num_hidden_layers=3),
    "gemma3-vision": dict(model_type="gemma3", text_config=dict(text("gemma3_text", head_dim=10, sliding_window=6, query_pre_attn_scalar=10)), vision_config=dict(model_type="siglip_vision_model", **VISION), mm_tokens_per_image=4),
    "llava-llama": dict(model_type="llava", text_config=dict(text("llama", head_dim=12)), vision_config=dict(model_type="clip_vision_model", projection_dim=16, **VISION), image_token_index=96),
    "mistral3-vision": dict(model_type="mistral3", text_config=dict(text("mistral", head_dim=12, sliding_window=None)), vision_config=dict(model_type="pixtral", head_dim=8, **VISION), image_token_index=96),
    "qwen3-window": dict(text("qwen3", head_dim=12, use_sliding_window=True, sliding_window=7, max_window_layers=2), num_hidden_layers=3),
    "gpt-oss-nobias": text("gpt_oss", head_dim=12, intermediate_size=52, num_local_experts=4, num_experts_per_tok=1, sliding_window=64, attention_bias=False, tie_word_embeddings=True,
                           rope_parameters=dict(rope_type="default", rope_theta=1500.0)),
    "glm4-bias": text("glm4", head_dim=12, attention_bias=True, tie_word_embeddings=True),
    "stablelm-mha": dict(text("stablelm", qk_layernorm=True, use_parallel_residual=False, use_qkv_bias=True), hidden_size=48, num_key_value_heads=3),
    "starcoder2-full": text("starcoder2", use_bias=True, sliding_window=None),
    "deepseek-v3-groups": dict(text("deepseek_v3", q_lora_rank=24, kv_lora_rank=20, qk_nope_head_dim=8, qk_rope_head_dim=6, v_head_dim=10, n_group=4, topk_group=3, n_routed_experts=12, num_experts_per_tok=4,
                                    n_shared_experts=1, first_k_dense_replace=1, norm_topk_prob=True, routed_scaling_factor=2.5, moe_intermediate_size=16), num_key_value_heads=3),
    "mixtral-all": text("mixtral", head_dim=12, intermediate_size=52, num_local_experts=4, num_experts_per_tok=4, sliding_window=6),
}

def settle(model, seed):
    """Random numbers everywhere, so that nothing is its own neutral element; exact in bfloat16."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            r = torch.randn(p.shape, generator=g)
            scale = 0.3 if p.ndim == 1 else 1.2 / p.shape[-1] ** 0.5
            base = p if p.ndim == 1 and float(p.abs().min()) > 0 else 0
            p.copy_((base + scale * r).bfloat16().float())
        for name, b in model.named_buffers():
            if "correction" in name: b.copy_((0.2 * torch.randn(b.shape, generator=g)).bfloat16().float())

def make(out, name, seed):
    config = dict(MODELS[name])
    config = AutoConfig.for_model(config.pop("model_type"), **config)
    torch.manual_seed(seed)
    encoder, vision = config.model_type in ("bert", "modernbert"), config.model_type in ("gemma3", "llava", "mistral3")
    auto = AutoModel if encoder else AutoModelForImageTextToText if vision else AutoModelForCausalLM
    model = auto.from_config(config, attn_implementation="eager").float().eval()
    settle(model, seed)
    vocabulary = config.get_text_config().vocab_size
    ids = torch.randint(5, vocabulary - 2, (1, 40), generator=torch.Generator().manual_seed(seed + 1))
    golden = dict(transformers=transformers.__version__, architecture=type(model).__name__, input_ids=ids[0].tolist())
    with torch.no_grad():
        result = model(input_ids=ids)
        if encoder:
            golden["last_hidden_state"] = [[round(x, 6) for x in row] for row in result.last_hidden_state[0].tolist()]
        else:
            logits, positions = result.logits[0], [0, 1, 3, 7, 20, 39]
            golden["logits_positions"] = positions
            golden["logits"] = [[round(x, 6) for x in logits[p].tolist()] for p in positions]
            golden["nll_mean"] = float(torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:]))
            tokens = ids
            for _ in range(8): tokens = torch.cat([tokens, model(input_ids=tokens, use_cache=False).logits[:, -1:].argmax(-1)], 1)
            golden["greedy"] = tokens[0, 40:].tolist()
    folder = os.path.join(out, name)
    model.bfloat16().save_pretrained(folder)
    if os.path.exists(f"{folder}/generation_config.json"): os.remove(f"{folder}/generation_config.json")
    json.dump(golden, open(f"{folder}/golden.json", "w"))

if __name__ == "__main__":
    for i, name in enumerate(MODELS):
        if len(sys.argv) > 2 and name not in sys.argv[2:]: continue
        try:
            make(sys.argv[1], name, 100 + i)
        except Exception as e:
            print(name, "FAILED", type(e).__name__, str(e)[:300].replace("\n", " "))
