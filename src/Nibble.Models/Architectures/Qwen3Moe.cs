namespace Nibble.Models.Architectures;

/// <summary>Qwen3 with a mixture of experts in all layers, or in some.</summary>
internal sealed class Qwen3Moe : Qwen3
{
    public override string Name => "qwen3moe";

    public override IReadOnlyList<string> ModelTypes => ["qwen3_moe"];

    public override ModelConfig Configure(JsonConfig json)
    {
        int every = json.Count("decoder_sparse_step", 1);
        int[] dense = [.. (json.Numbers("mlp_only_layers") ?? []).Select(l => (int)l)];
        ModelConfig config = base.Configure(json);
        return config with
        {
            Layers = LlamaLike.Each(config.Layers, (layer, l) => layer with { Experts = (l + 1) % every == 0 && !dense.Contains(l) }),
            Experts = new ExpertsConfig
            {
                Count = json.Has("num_experts") ? json.Count("num_experts") : json.Count("num_local_experts"),
                Used = json.Count("num_experts_per_tok"),
                FeedForward = json.Count("moe_intermediate_size"),
                Normalize = json.Flag("norm_topk_prob", false),
            },
        };
    }

    public override IEnumerable<TensorName> Tensors(ModelConfig config) => [.. base.Tensors(config), .. LlamaLike.Experts(config)];
}
