using System.Numerics.Tensors;

namespace Nibble.Models.Decoder;

/// <summary>Which experts the tokens of a batch are sent to, with what weight, and the tokens of each expert.</summary>
internal sealed class Routing
{
    private int[] _experts = [];
    private float[] _weights = [];
    private int[] _byExpert = [];
    private int[] _starts = [];
    private float[] _choice = [];
    private int _used;
    private int _tokens;

    /// <summary>[tokens, used].</summary>
    public ReadOnlySpan<int> Experts => _experts.AsSpan(0, _tokens * _used);

    /// <summary>Places in [tokens, used] that were sent to an expert, in the order of tokens.</summary>
    public ReadOnlySpan<int> Places(int expert) => _byExpert.AsSpan(_starts[expert].._starts[expert + 1]);

    public float Weight(int place) => _weights[place];

    /// <param name="scores">The router's logits, [tokens, experts]; changed.</param>
    /// <param name="correction">Added to the scores for the choice only; empty for none.</param>
    public void Choose(Span<float> scores, ReadOnlySpan<float> correction, ExpertsConfig config)
    {
        _used = config.Used;
        _tokens = scores.Length / config.Count;
        if (_experts.Length < _tokens * _used) (_experts, _weights, _byExpert) = (new int[_tokens * _used], new float[_tokens * _used], new int[_tokens * _used]);
        if (_starts.Length == 0) (_starts, _choice) = (new int[config.Count + 1], new float[config.Count]);
        for (int t = 0; t < _tokens; t++)
            ChooseToken(scores.Slice(t * config.Count, config.Count), correction, config, _experts.AsSpan(t * _used, _used), _weights.AsSpan(t * _used, _used));
        Sort(config.Count);
    }

    private void ChooseToken(Span<float> scores, ReadOnlySpan<float> correction, ExpertsConfig config, Span<int> experts, Span<float> weights)
    {
        if (config.Score == RouterScore.Softmax) TensorPrimitives.SoftMax<float>(scores, scores);
        if (config.Score == RouterScore.Sigmoid) TensorPrimitives.Sigmoid<float>(scores, scores);
        Span<float> choice = _choice;
        scores.CopyTo(choice);
        if (!correction.IsEmpty) TensorPrimitives.Add(choice, correction, choice);
        if (config.Groups > 1) KeepBestGroups(choice, config);
        for (int k = 0; k < experts.Length; k++)
        {
            experts[k] = TensorPrimitives.IndexOfMax<float>(choice);
            weights[k] = scores[experts[k]];
            choice[experts[k]] = float.NegativeInfinity;
        }
        if (config.Score == RouterScore.SoftmaxOfChosen) TensorPrimitives.SoftMax<float>(weights, weights);
        float scale = config.Normalize ? config.Scale / (TensorPrimitives.Sum<float>(weights) + 1e-20f) : config.Scale;
        TensorPrimitives.Multiply(weights, scale, weights);
    }

    /// <summary>A group is worth its best score, or the sum of its two best; the experts of the other groups are ruled out.</summary>
    private static void KeepBestGroups(Span<float> choice, ExpertsConfig config)
    {
        int size = config.Count / config.Groups;
        Span<float> worth = stackalloc float[config.Groups];
        for (int g = 0; g < config.Groups; g++)
        {
            (float best, float second) = (float.NegativeInfinity, float.NegativeInfinity);
            foreach (float score in choice.Slice(g * size, size))
                (best, second) = score > best ? (score, best) : (best, Math.Max(second, score));
            worth[g] = size > 1 && config.GroupWorth == 2 ? best + second : best;
        }
        for (int ruledOut = config.Groups - config.UsedGroups; ruledOut > 0; ruledOut--)
        {
            int worst = TensorPrimitives.IndexOfMin<float>(worth);
            worth[worst] = float.PositiveInfinity;
            choice.Slice(worst * size, size).Fill(float.NegativeInfinity);
        }
    }

    /// <summary>Sorts the places by expert, by counting.</summary>
    private void Sort(int experts)
    {
        Array.Clear(_starts);
        foreach (int e in Experts) _starts[e + 1]++;
        for (int e = 0; e < experts; e++) _starts[e + 1] += _starts[e];
        for (int place = 0; place < Experts.Length; place++) _byExpert[_starts[_experts[place]]++] = place;
        for (int e = experts; e > 0; e--) _starts[e] = _starts[e - 1];
        _starts[0] = 0;
    }
}
