using System.Globalization;

namespace Nibble.Quantization.Recipes;

/// <summary>What a tensor does in a model. Some roles suffer more from few bits than others, so recipes tell them apart.</summary>
public enum TensorRole
{
    Other,
    TokenEmbedding,
    Output,
    AttentionQuery,
    AttentionKey,
    /// <summary>Values, alone or fused with queries and keys (or, in latent attention, with keys).</summary>
    AttentionValue,
    AttentionOutput,
    FeedForwardUp,
    FeedForwardGate,
    FeedForwardDown,
}

/// <summary>Reads roles and places from GGUF tensor names.</summary>
public static class TensorRoles
{
    private static readonly (string Part, TensorRole Role)[] Parts =
    [
        ("attn_qkv.weight", TensorRole.AttentionValue),
        ("attn_kv_b.weight", TensorRole.AttentionValue),
        ("attn_v.weight", TensorRole.AttentionValue),
        ("attn_k.weight", TensorRole.AttentionKey),
        ("attn_q.weight", TensorRole.AttentionQuery),
        ("attn_output.weight", TensorRole.AttentionOutput),
        ("ffn_up", TensorRole.FeedForwardUp),
        ("ffn_gate", TensorRole.FeedForwardGate),
        ("ffn_down", TensorRole.FeedForwardDown),
    ];

    /// <summary>Small or sensitive tensors that stay as they are, by a part of their name.</summary>
    private static readonly string[] Kept =
    [
        "_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj",
        "ssm_conv1d", "shortconv.conv.weight", "indexer.k_proj.weight", "indexer.q_proj.weight", "time_mix_first.weight",
        "time_mix_w", "time_mix_v0", "time_mix_v1", "time_mix_v2", "time_mix_a", "time_mix_g", "time_mix_decay_w",
        "time_mix_lerp_fused.weight", "attn_rel_b.weight", "position_embd", "token_types", ".rel_pos", ".patch_embd",
        ".patch_merger",
    ];

    public static TensorRole Of(string name) => name switch
    {
        "output.weight" => TensorRole.Output,
        "token_embd.weight" or "per_layer_token_embd.weight" => TensorRole.TokenEmbedding,
        _ => Parts.FirstOrDefault(p => name.Contains(p.Part, StringComparison.Ordinal)).Role,
    };

    /// <summary>The number in "blk.7.", or -1.</summary>
    public static int LayerOf(string name)
    {
        if (!name.StartsWith("blk.", StringComparison.Ordinal)) return -1;
        int end = name.IndexOf('.', 4);
        return end > 4 && int.TryParse(name.AsSpan(4, end - 4), NumberStyles.None, CultureInfo.InvariantCulture, out int layer) ? layer : -1;
    }

    /// <summary>True for the matrices: norms, biases, routers and other small tensors are never quantized.</summary>
    public static bool IsQuantizable(string name, int dimensions) =>
        dimensions >= 2 && name.EndsWith("weight", StringComparison.Ordinal)
        && !Array.Exists(Kept, part => name.Contains(part, StringComparison.Ordinal));
}
