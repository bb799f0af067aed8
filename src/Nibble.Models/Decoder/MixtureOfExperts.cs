using System.Numerics.Tensors;
using Nibble.Core.Kernels;

namespace Nibble.Models.Decoder;

/// <summary>
/// A feed-forward block of many, of which a router chooses a few for each token (Shazeer et al., arXiv:1701.06538). The
/// tokens sent to one expert are gathered and multiplied together.
/// </summary>
internal sealed unsafe class MixtureOfExperts
{
    private readonly int _layer;
    private readonly ModelConfig _config;
    private readonly ExpertsConfig _experts;
    private readonly Linear _router;
    private readonly Linear[] _down;
    private readonly LinearGroup[] _gateUp;
    private readonly FeedForward? _shared;
    private readonly float[] _correction;

    public MixtureOfExperts(LayerParts parts, int layer)
    {
        string block = $"blk.{layer}.";
        (_layer, _config, _experts) = (layer, parts.Config, parts.Config.Experts!);
        _router = parts.Linear($"{block}ffn_gate_inp");
        _correction = parts.Vector($"{block}exp_probs_b.bias");
        if (parts.Has($"{block}ffn_down_shexp")) _shared = new FeedForward(parts, layer, "_shexp");
        _gateUp = [.. parts.Experts($"{block}ffn_gate_exps").Zip(parts.Experts($"{block}ffn_up_exps"), (gate, up) => new LinearGroup(gate, up))];
        _down = parts.Experts($"{block}ffn_down_exps");
    }

    /// <param name="output">[tokens, hidden], overwritten.</param>
    public void Run(Workspace work, Activation x, float* output)
    {
        int tokens = x.Tokens;
        float* scores = work.Part.Of((nint)tokens * _experts.Count);
        work.Tell(_router, x);
        _router.Apply(x, scores, work.Pool);
        work.Routing.Choose(new Span<float>(scores, tokens * _experts.Count), _correction, _experts);
        work.Probe?.Routed(_layer, work.Routing.Experts);
        if (_shared is not null) _shared.Run(work, x, output, default);
        else new Span<float>(output, checked(tokens * _config.Hidden)).Clear();
        for (int e = 0; e < _experts.Count; e++)
        {
            ReadOnlySpan<int> places = work.Routing.Places(e);
            if (!places.IsEmpty) RunExpert(work, e, places, x, output);
        }
    }

    private void RunExpert(Workspace work, int e, ReadOnlySpan<int> places, Activation x, float* output)
    {
        int count = places.Length, width = _experts.FeedForward, hidden = _config.Hidden;
        Activation rows = work.Gathered;
        rows.Resize(count, hidden);
        for (int i = 0; i < count; i++) x.Row(places[i] / _experts.Used).CopyTo(rows.Row(i));
        rows.Changed();
        float* gate = work.Gate.Of((nint)count * width), up = work.Up.Of((nint)count * width);
        work.Middle.Resize(count, width);
        var unit = new GatedUnit
        {
            F = _config.Nonlinearity,
            Gate = gate,
            Up = up,
            Stride = width,
            Y = work.Middle,
            MakesCodes = work.Middle.ExpectCodes(_down[e].Weight, work.Pool, _down[e].InputRounding),
        };
        _gateUp[e].Apply(work, rows, [(nint)gate, (nint)up], unit);
        work.Tell(_down[e], work.Middle);
        float* part = work.Part.Of((nint)count * hidden);
        _down[e].Apply(work.Middle, part, work.Pool);
        for (int i = 0; i < count; i++)
        {
            var sum = new Span<float>(output + (nint)(places[i] / _experts.Used) * hidden, hidden);
            TensorPrimitives.MultiplyAdd(new ReadOnlySpan<float>(part + (nint)i * hidden, hidden), work.Routing.Weight(places[i]), sum, sum);
        }
    }
}
