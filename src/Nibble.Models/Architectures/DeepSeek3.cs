using Nibble.Files.Gguf;

namespace Nibble.Models.Architectures;

/// <summary>
/// DeepSeek V3 and R1: latent attention, sigmoid routing in groups with a correction, shared experts, a dense prefix. V2:
/// softmax routing, perhaps in groups, without a correction.
/// </summary>
internal sealed class DeepSeek3 : Architecture
{
    public override string Name => "deepseek2";

    public override IReadOnlyList<string> ModelTypes => ["deepseek_v3", "deepseek_v2"];

    public override ModelConfig Configure(JsonConfig json)
    {
        int dense = json.CountOrZero("first_k_dense_replace", 0), expert = json.Count("moe_intermediate_size");
        var latent = new LatentConfig
        {
            QueryRank = json.CountOrZero("q_lora_rank", 0),
            Rank = json.Count("kv_lora_rank"),
            PlainSize = json.Count("qk_nope_head_dim"),
            RotarySize = json.Count("qk_rope_head_dim"),
            ValueSize = json.Count("v_head_dim"),
        };
        ModelConfig config = LlamaLike.Configure(json, Name, headSize: checked(latent.PlainSize + latent.RotarySize));
        RotaryConfig rotary = RopeParameters.Read(json, latent.RotarySize, config.ContextLength, interleaved: json.Flag("rope_interleave", true));
        float scale = (float)(Sharpening(json) / Math.Sqrt(latent.PlainSize + latent.RotarySize));
        json.Expect("attention_bias", "false");
        json.Expect("mlp_bias", "false");
        json.Expect("moe_layer_freq", "1");
        json.Ignore("head_dim", "qk_head_dim", "num_nextn_predict_layers", "aux_loss_alpha", "seq_aux", "ep_size");
        return config with
        {
            Latent = latent,
            KvHeads = config.Heads,
            Layers = LlamaLike.Each(config.Layers, (layer, l) => layer with { Experts = l >= dense, Rotary = rotary, AttentionScale = scale }),
            Experts = json.Text("model_type") == "deepseek_v2" ? Softmax(json, expert) : Sigmoid(json, expert),
        };
    }

    private static ExpertsConfig Sigmoid(JsonConfig json, int width)
    {
        json.Expect("scoring_func", "\"sigmoid\"");
        json.Expect("topk_method", "\"noaux_tc\"");
        return Experts(json, width) with { Score = RouterScore.Sigmoid, Normalize = json.Flag("norm_topk_prob", true) };
    }

    private static ExpertsConfig Softmax(JsonConfig json, int width)
    {
        json.Expect("scoring_func", "\"softmax\"");
        json.Expect("norm_topk_prob", "false");
        ExpertsConfig experts = Experts(json, width) with { GroupWorth = 1 };
        return (json.Text("topk_method") ?? "greedy") switch
        {
            "greedy" => experts with { Groups = 1, UsedGroups = 1 },
            "group_limited_greedy" => experts,
            var other => throw json.Error("topk_method", $"is {Files.Quote.Name(other)}; known are greedy and group_limited_greedy"),
        };
    }

    private static ExpertsConfig Experts(JsonConfig json, int width) => new()
    {
        Count = json.Count("n_routed_experts"),
        Used = json.Count("num_experts_per_tok"),
        FeedForward = width,
        SharedFeedForward = checked(width * json.CountOrZero("n_shared_experts", 0)),
        Scale = (float)json.Positive("routed_scaling_factor", 1),
        Groups = json.Count("n_group", 1),
        UsedGroups = json.Count("topk_group", 1),
    };

    /// <summary>YaRN with mscale_all_dim sharpens the scores as well.</summary>
    private static double Sharpening(JsonConfig json)
    {
        JsonConfig? scaling = json.Section("rope_parameters") ?? json.Section("rope_scaling");
        double all = scaling?.Number("mscale_all_dim", 0) ?? 0;
        return all == 0 ? 1 : Math.Pow(YarnScaling.Sharpening(scaling!.Positive("factor"), all), 2);
    }

    /// <summary>The layers after the last predict further tokens, and are not needed.</summary>
    public override bool Ignores(string tensor, ModelConfig config) =>
        base.Ignores(tensor, config) || tensor.StartsWith($"model.layers.{config.Layers.Count}.", StringComparison.Ordinal);

    public override ModelConfig Configure(GgufConfig gguf)
    {
        ModelConfig config = base.Configure(gguf);
        int rotated = gguf.Count("rope.dimension_count"), key = gguf.Count("attention.key_length_mla");
        if (key <= rotated) throw gguf.Error("attention.key_length_mla", $"is {key}; it must be above rope.dimension_count, {rotated}");
        double all = gguf.Number("rope.scaling.yarn_log_multiplier", 0) / LogMultiplier;
        double sharpening = config.Layers[0].Rotary!.Scaling is YarnScaling yarn ? Math.Pow(YarnScaling.Sharpening(yarn.Factor, all), 2) : 1;
        float scale = (float)(sharpening / Math.Sqrt(key));
        return config with
        {
            Latent = new LatentConfig
            {
                QueryRank = gguf.CountOrZero("attention.q_lora_rank", 0),
                Rank = gguf.Count("attention.kv_lora_rank"),
                PlainSize = key - rotated,
                RotarySize = rotated,
                ValueSize = gguf.Count("attention.value_length_mla"),
            },
            HeadSize = key,
            KvHeads = config.Heads,
            Layers = LlamaLike.Each(config.Layers, (layer, _) => layer with { AttentionScale = scale }),
        };
    }

    public override void WriteMetadata(ModelConfig config, GgufMetadata metadata)
    {
        base.WriteMetadata(config, metadata);
        LatentConfig latent = config.Latent!;
        if (latent.QueryRank > 0) metadata.Set($"{Name}.attention.q_lora_rank", (uint)latent.QueryRank);
        metadata.Set($"{Name}.attention.kv_lora_rank", (uint)latent.Rank);
        metadata.Set($"{Name}.attention.key_length_mla", (uint)config.HeadSize);
        metadata.Set($"{Name}.attention.value_length_mla", (uint)latent.ValueSize);
        double sharpening = Math.Sqrt(config.Layers[0].AttentionScale * Math.Sqrt(config.HeadSize));
        if (config.Layers[0].Rotary!.Scaling is not YarnScaling yarn || sharpening < 1 + 1e-6) return;
        metadata.Set($"{Name}.rope.scaling.yarn_log_multiplier", (float)((sharpening - 1) / Math.Log(yarn.Factor)));
        metadata.Set($"{Name}.rope.scaling.attn_factor", (float)yarn.Magnitude);
    }

    /// <summary>llama.cpp writes a tenth of mscale_all_dim.</summary>
    private const double LogMultiplier = 0.1;

    internal override GgufHabits Habits => new() { Interleaved = true };

    public override IEnumerable<TensorName> Tensors(ModelConfig config)
    {
        LatentConfig latent = config.Latent!;
        Presence lowRank = LlamaLike.Where(latent.QueryRank > 0), direct = LlamaLike.Where(latent.QueryRank == 0);
        Presence corrected = LlamaLike.Where(config.Experts!.Score == RouterScore.Sigmoid);
        Presence shared = LlamaLike.Where(config.Experts!.SharedFeedForward > 0);
        int perHead = latent.PlainSize + latent.ValueSize;
        const string Attention = "model.layers.{l}.self_attn.", Shared = "model.layers.{l}.mlp.shared_experts.";
        return
        [
            .. LlamaLike.Ends(config),
            .. LlamaLike.Norms(),
            new("blk.{l}.attn_q", Attention + "q_proj") { Weight = direct },
            new("blk.{l}.attn_q_a", Attention + "q_a_proj") { Weight = lowRank },
            new("blk.{l}.attn_q_a_norm", Attention + "q_a_layernorm") { Weight = lowRank },
            new("blk.{l}.attn_q_b", Attention + "q_b_proj") { Weight = lowRank },
            new("blk.{l}.attn_kv_a_mqa", Attention + "kv_a_proj_with_mqa"),
            new("blk.{l}.attn_kv_a_norm", Attention + "kv_a_layernorm"),
            new("blk.{l}.attn_k_b", Attention + "kv_b_proj") { Transposed = true, Part = (perHead, 0) },
            new("blk.{l}.attn_v_b", Attention + "kv_b_proj") { Part = (perHead, latent.PlainSize) },
            new("blk.{l}.attn_output", Attention + "o_proj"),
            .. LlamaLike.FeedForward(config),
            .. LlamaLike.Experts(config),
            new("blk.{l}.exp_probs_b", "model.layers.{l}.mlp.gate.e_score_correction") { Weight = Presence.No, Bias = corrected, Bare = true, Layers = l => config.Layers[l].Experts },
            new("blk.{l}.ffn_gate_shexp", Shared + "gate_proj") { Weight = shared, Layers = l => config.Layers[l].Experts },
            new("blk.{l}.ffn_up_shexp", Shared + "up_proj") { Weight = shared, Layers = l => config.Layers[l].Experts },
            new("blk.{l}.ffn_down_shexp", Shared + "down_proj") { Weight = shared, Layers = l => config.Layers[l].Experts },
        ];
    }
}
