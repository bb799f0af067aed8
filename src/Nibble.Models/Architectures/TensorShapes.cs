namespace Nibble.Models.Architectures;

/// <summary>The shape of every module a decoder may have.</summary>
internal static class TensorShapes
{
    /// <summary>The shape of a module's weight; a vector has one row.</summary>
    /// <param name="module">The name without the layer: <c>attn_q</c>.</param>
    public static (int Experts, int Rows, int Columns) Of(string module, ModelConfig c)
    {
        (long experts, long rows, long columns) = Shape(module, c);
        return (checked((int)experts), checked((int)rows), checked((int)columns));
    }

    private static (long Experts, long Rows, long Columns) Shape(string module, ModelConfig c)
    {
        long hidden = c.Hidden, queries = (long)c.Heads * c.HeadSize, keys = (long)c.KvHeads * c.HeadSize;
        return module switch
        {
            "token_embd" or "output" => (1, c.Vocabulary, hidden),
            "position_embd" => (1, c.LearnedPositions, hidden),
            "token_types" => (1, c.TokenTypes, hidden),
            "attn_q" when c.Latent is { } latent => (1, c.Heads * (long)(latent.PlainSize + latent.RotarySize), hidden),
            "attn_q" => (1, queries, hidden),
            "attn_k" or "attn_v" => (1, keys, hidden),
            "attn_qkv" => (1, queries + 2 * keys, hidden),
            "attn_output" => (1, hidden, (long)c.Heads * c.ValueSize),
            "attn_sinks" => (1, 1, c.Heads),
            "attn_q_norm" => (1, 1, NormWidth(c, c.Heads)),
            "attn_k_norm" => (1, 1, NormWidth(c, c.KvHeads)),
            "ffn_gate" or "ffn_up" => (1, c.FeedForward, hidden),
            "ffn_gate_up" => (1, 2L * c.FeedForward, hidden),
            "ffn_down" => (1, hidden, c.FeedForward),
            _ when module.StartsWith("ffn_", StringComparison.Ordinal) && c.Experts is { } experts => OfExperts(module, experts, hidden),
            _ when module.StartsWith("exp_", StringComparison.Ordinal) && c.Experts is { } experts => (1, 1, experts.Count),
            _ when c.Latent is { } latent && OfLatent(module, latent, c) is { } shape => shape,
            _ when module.EndsWith("norm", StringComparison.Ordinal) => (1, 1, hidden),
            _ => throw new InvalidOperationException($"no shape is known for module '{module}'"),
        };
    }

    private static long NormWidth(ModelConfig c, int heads) =>
        c.QueryKeyNorm == QueryKeyNorm.Shared ? c.HeadSize : (long)heads * c.HeadSize;

    private static (long, long, long) OfExperts(string module, ExpertsConfig experts, long hidden) => module switch
    {
        "ffn_gate_inp" => (1, experts.Count, hidden),
        "ffn_gate_exps" or "ffn_up_exps" => (experts.Count, experts.FeedForward, hidden),
        "ffn_down_exps" => (experts.Count, hidden, experts.FeedForward),
        "ffn_gate_shexp" or "ffn_up_shexp" => (1, experts.SharedFeedForward, hidden),
        "ffn_down_shexp" => (1, hidden, experts.SharedFeedForward),
        _ => (1, 1, hidden),
    };

    private static (long, long, long)? OfLatent(string module, LatentConfig latent, ModelConfig c) => module switch
    {
        "attn_q_a" => (1, latent.QueryRank, c.Hidden),
        "attn_q_a_norm" => (1, 1, latent.QueryRank),
        "attn_q_b" => (1, (long)c.Heads * (latent.PlainSize + latent.RotarySize), latent.QueryRank),
        "attn_kv_a_mqa" => (1, latent.KeySize, c.Hidden),
        "attn_kv_a_norm" => (1, 1, latent.Rank),
        "attn_kv_b" => (1, (long)c.Heads * (latent.PlainSize + latent.ValueSize), latent.Rank),
        "attn_k_b" => (c.Heads, latent.Rank, latent.PlainSize),
        "attn_v_b" => (c.Heads, latent.ValueSize, latent.Rank),
        _ => null,
    };
}
