using Nibble.Core.Kernels;
using Nibble.Files.Gguf;
using static System.FormattableString;

namespace Nibble.Models.Architectures;

/// <summary>What llama.cpp takes for granted of an architecture where a file says nothing.</summary>
internal sealed record GgufHabits
{
    /// <summary>Every how many layers one has no sliding window; 1: no layer has one, 0: all have.</summary>
    public int Period { get; init; } = 1;

    /// <summary>The layer without a window is the first of a period, not the last.</summary>
    public bool FullFirst { get; init; }

    /// <summary>Queries and keys rotate neighbours.</summary>
    public bool Interleaved { get; init; }

    /// <summary>The chosen experts' weights are divided by their sum.</summary>
    public bool NormalizesExperts { get; init; } = true;

    public RouterScore Score { get; init; }

    public NormKind Norm { get; init; }

    public Nonlinearity Nonlinearity { get; init; } = Nonlinearity.Silu;

    /// <summary>The feed-forward block multiplies f(gate) with another projection.</summary>
    public bool Gated { get; init; } = true;

    /// <summary>YaRN's ramp ends at whole pairs.</summary>
    public bool TruncatesYarn { get; init; } = true;
}

/// <summary>llama.cpp's metadata keys, read into a configuration and written from one.</summary>
internal static class GgufKeys
{
    /// <summary>A decoder by the usual keys; which layers have experts, and whether the head is tied, the tensors say.</summary>
    public static ModelConfig Read(GgufConfig gguf, GgufHabits habits)
    {
        int hidden = gguf.Count("embedding_length"), heads = gguf.Count("attention.head_count"), layers = gguf.Layers();
        if (!gguf.Has("attention.key_length") && hidden % heads != 0)
            throw gguf.Error("attention.head_count", $"is {heads}, which does not divide the width, {hidden}, and there is no attention.key_length");
        int headSize = gguf.Count("attention.key_length", hidden / heads), valueSize = gguf.Count("attention.value_length", headSize);
        if ((long)headSize * heads > 1 << 24)
            throw gguf.Error("attention.key_length", $"is {headSize}, for {heads} heads; a width of more than 2^24 is no model's");
        if (valueSize != headSize && !gguf.Has("attention.kv_lora_rank"))
            throw gguf.Error("attention.value_length", $"is {valueSize}, but attention.key_length is {headSize}; only equal widths are computed");
        int context = gguf.Count("context_length"), feedForward = gguf.Count("feed_forward_length", gguf.Has("expert_feed_forward_length") ? 1 : null);
        RotaryConfig rotary = ReadRotary(gguf, headSize, context, habits);
        int window = gguf.CountOrZero("attention.sliding_window", 0);
        IReadOnlyList<bool> slides = gguf.Slides(layers, habits.Period, habits.FullFirst);
        float scale = gguf.Number("attention.scale", 0);
        return new ModelConfig
        {
            Architecture = gguf.Architecture,
            Hidden = hidden,
            FeedForward = feedForward,
            Heads = heads,
            KvHeads = gguf.Count("attention.head_count_kv", heads),
            HeadSize = headSize,
            Vocabulary = Vocabulary(gguf),
            ContextLength = context,
            Norm = habits.Norm,
            NormEpsilon = gguf.Positive(habits.Norm == NormKind.Rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon"),
            Nonlinearity = habits.Nonlinearity,
            Gated = habits.Gated,
            TiedHead = !gguf.HasTensor("output.weight"),
            QueryBias = null,
            OutputBias = null,
            FeedForwardBias = null,
            AttentionSoftCap = gguf.Number("attn_logit_softcapping", 0),
            LogitSoftCap = gguf.Number("final_logit_softcapping", 0),
            Experts = gguf.CountOrZero("expert_count", 0) > 0 ? ReadExperts(gguf, feedForward, habits) : null,
            Layers = [.. Enumerable.Range(0, layers).Select(l => new LayerConfig
            {
                Rotary = rotary,
                Window = slides[l] ? window : 0,
                Experts = gguf.HasTensor($"blk.{l}.ffn_gate_inp.weight"),
                AttentionScale = scale > 0 ? scale : 1 / MathF.Sqrt(headSize),
            })],
        };
    }

    private static int Vocabulary(GgufConfig gguf)
    {
        int rows = gguf.RowsOf("token_embd.weight");
        if (gguf.VocabularyTokens is { } tokens && tokens != rows)
            throw gguf.Error("vocab_size", $"cannot be settled: the tokenizer has {tokens} tokens, but token_embd.weight has {rows} rows");
        return rows;
    }

    private static ExpertsConfig ReadExperts(GgufConfig gguf, int feedForward, GgufHabits habits)
    {
        int expert = gguf.Count("expert_feed_forward_length", feedForward);
        float scale = gguf.Number("expert_weights_scale", 0);
        RouterScore score = gguf.CountOrZero("expert_gating_func", 0) switch
        {
            0 => habits.Score,
            1 => RouterScore.Softmax,
            2 => RouterScore.Sigmoid,
            3 => RouterScore.SoftmaxOfChosen,
            var other => throw gguf.Error("expert_gating_func", $"is {other}; known are 1 (softmax), 2 (sigmoid) and 3 (softmax of the chosen)"),
        };
        return new ExpertsConfig
        {
            Count = gguf.Count("expert_count"),
            Used = gguf.Count("expert_used_count"),
            FeedForward = expert,
            SharedFeedForward = gguf.Has("expert_shared_feed_forward_length")
                ? gguf.Count("expert_shared_feed_forward_length") : checked(expert * gguf.CountOrZero("expert_shared_count", 0)),
            Score = score,
            Normalize = gguf.Flag("expert_weights_norm", habits.NormalizesExperts),
            Scale = scale == 0 ? 1 : scale,
            Groups = gguf.Count("expert_group_count", 1),
            UsedGroups = gguf.Count("expert_group_used_count", 1),
            GroupWorth = score == RouterScore.Sigmoid ? 2 : 1,
        };
    }

    private static RotaryConfig ReadRotary(GgufConfig gguf, int headSize, int context, GgufHabits habits)
    {
        int dimensions = gguf.Count("rope.dimension_count", headSize);
        if (dimensions % 2 != 0 || (dimensions > headSize && !gguf.Has("attention.kv_lora_rank")))
            throw gguf.Error("rope.dimension_count", $"is {dimensions}; it must be even and at most the width of a head, {headSize}");
        return new RotaryConfig
        {
            Theta = gguf.Positive("rope.freq_base", 10000),
            Dimensions = dimensions,
            Interleaved = habits.Interleaved,
            Scaling = ReadScaling(gguf, dimensions, context, habits),
        };
    }

    private static RotaryScaling? ReadScaling(GgufConfig gguf, int dimensions, int context, GgufHabits habits)
    {
        int original = gguf.Count("rope.scaling.original_context_length", context);
        float attention = gguf.Positive("rope.scaling.attn_factor", 1), factor = gguf.Number("rope.scaling.factor", 0);
        if (factor == 0) factor = gguf.Number("rope.scale_linear", 0);
        IReadOnlyList<float>? longer = gguf.Vector("rope_factors_long.weight", dimensions / 2), shorter = gguf.Vector("rope_factors_short.weight", dimensions / 2);
        if (longer is not null && shorter is not null) return new LongRopeScaling(shorter, longer, original) { Magnitude = attention };
        string type = gguf.Text("rope.scaling.type", factor is 0 or 1 ? "none" : "linear");
        if (gguf.Vector("rope_freqs.weight", dimensions / 2) is { } divisors) return new DivisorScaling(divisors);
        if (type is "none" or "longrope" || factor == 0) return null;
        if (factor < 0) throw gguf.Error("rope.scaling.factor", Invariant($"is {factor}; it must be above 0"));
        return type switch
        {
            "linear" => new LinearScaling(factor),
            "dynamic" => new DynamicScaling(factor, original),
            "yarn" => new YarnScaling(factor, original)
            {
                BetaFast = gguf.Positive("rope.scaling.yarn_beta_fast", 32),
                BetaSlow = gguf.Positive("rope.scaling.yarn_beta_slow", 1),
                Magnitude = attention * (gguf.Has("rope.scaling.yarn_log_multiplier") ? 1 : YarnScaling.Sharpening(factor)),
                Truncate = habits.TruncatesYarn,
            },
            _ => throw gguf.Error("rope.scaling.type", $"is '{type}'; known are none, linear, yarn and longrope"),
        };
    }

    /// <summary>Writes the keys that <see cref="Read"/> reads.</summary>
    public static void Write(ModelConfig c, GgufMetadata metadata, GgufHabits habits)
    {
        metadata.Set("general.architecture", c.Architecture);
        void Set(string key, object value) => metadata.Set($"{c.Architecture}.{key}", value);
        Set("context_length", (uint)c.ContextLength);
        Set("embedding_length", (uint)c.Hidden);
        Set("block_count", (uint)c.Layers.Count);
        Set("feed_forward_length", (uint)c.FeedForward);
        Set("attention.head_count", (uint)c.Heads);
        Set("attention.head_count_kv", (uint)(c.Latent is null ? c.KvHeads : 1));
        if (c.Latent is not null || c.HeadSize * c.Heads != c.Hidden)
        {
            Set("attention.key_length", (uint)c.KeySize);
            Set("attention.value_length", (uint)(c.Latent?.Rank ?? c.HeadSize));
        }
        Set(c.Norm == NormKind.Rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon", c.NormEpsilon);
        if (c.AttentionSoftCap != 0) Set("attn_logit_softcapping", c.AttentionSoftCap);
        if (c.LogitSoftCap != 0) Set("final_logit_softcapping", c.LogitSoftCap);
        if (c.Experts is { } experts) WriteExperts(c, experts, Set);
        WriteWindows(c, habits, Set);
        if ((c.Layers.FirstOrDefault(l => l.Window == 0 && l.Rotary is not null) ?? c.Layers.FirstOrDefault(l => l.Rotary is not null))?.Rotary is { } rotary)
            WriteRotary(rotary, Set);
    }

    private static void WriteExperts(ModelConfig c, ExpertsConfig experts, Action<string, object> set)
    {
        set("expert_count", (uint)experts.Count);
        set("expert_used_count", (uint)experts.Used);
        set("expert_feed_forward_length", (uint)experts.FeedForward);
        set("expert_weights_norm", experts.Normalize);
        set("expert_gating_func", experts.Score switch { RouterScore.Softmax => 1u, RouterScore.Sigmoid => 2u, _ => 3u });
        if (experts.Scale != 1) set("expert_weights_scale", experts.Scale);
        if (experts.SharedFeedForward > 0) set("expert_shared_count", (uint)(experts.SharedFeedForward / experts.FeedForward));
        if (experts.Groups > 1)
        {
            set("expert_group_count", (uint)experts.Groups);
            set("expert_group_used_count", (uint)experts.UsedGroups);
        }
        set("leading_dense_block_count", (uint)c.Layers.TakeWhile(l => !l.Experts).Count());
    }

    private static void WriteWindows(ModelConfig c, GgufHabits habits, Action<string, object> set)
    {
        int window = c.Layers.Max(l => l.Window);
        if (window == 0) return;
        set("attention.sliding_window", (uint)window);
        bool[] slides = [.. c.Layers.Select(l => l.Window > 0)];
        bool usual = Enumerable.Range(0, slides.Length).All(l =>
            slides[l] == (habits.Period == 0 || (habits.FullFirst ? l % habits.Period != 0 : l % habits.Period < habits.Period - 1)));
        if (!usual) set("attention.sliding_window_pattern", slides);
    }

    private static void WriteRotary(RotaryConfig rotary, Action<string, object> set)
    {
        set("rope.dimension_count", (uint)rotary.Dimensions);
        set("rope.freq_base", (float)rotary.Theta);
        switch (rotary.Scaling)
        {
            case LinearScaling linear:
                set("rope.scaling.type", "linear");
                set("rope.scaling.factor", (float)linear.Factor);
                break;
            case DynamicScaling dynamic:
                set("rope.scaling.type", "dynamic");
                set("rope.scaling.factor", (float)dynamic.Factor);
                set("rope.scaling.original_context_length", (uint)dynamic.OriginalContext);
                break;
            case YarnScaling yarn:
                set("rope.scaling.type", "yarn");
                set("rope.scaling.factor", (float)yarn.Factor);
                set("rope.scaling.original_context_length", (uint)yarn.OriginalContext);
                set("rope.scaling.yarn_beta_fast", (float)yarn.BetaFast);
                set("rope.scaling.yarn_beta_slow", (float)yarn.BetaSlow);
                float sharper = (float)(yarn.Magnitude / YarnScaling.Sharpening(yarn.Factor));
                if (MathF.Abs(sharper - 1) > 1e-6f) set("rope.scaling.attn_factor", sharper);
                break;
            case LongRopeScaling longRope:
                set("rope.scaling.type", "longrope");
                set("rope.scaling.original_context_length", (uint)longRope.OriginalContext);
                set("rope.scaling.attn_factor", (float)longRope.Magnitude);
                break;
        }
    }
}
