using Nibble.Core.Kernels;
using Nibble.Core.Threading;
using Nibble.Models.Decoder;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// Collects the moments of every linear layer's input, and its drift from the original model's where that is at hand; layers
/// that read the same input share both.
/// </summary>
internal sealed class MomentsProbe(WorkerPool pool, OriginalInputs? original) : IProbe
{
    private readonly Dictionary<string, InputMoments> _moments = [];
    private readonly Dictionary<string, InputDrift> _drifts = [];

    /// <summary>The moments of a linear layer's input, or null if no token reached it.</summary>
    public InputMoments? Of(string linear) => _moments.GetValueOrDefault(Source(linear));

    /// <summary>The drift of a linear layer's input, or null where it is not known.</summary>
    public InputDrift? DriftOf(string linear) => _drifts.GetValueOrDefault(Source(linear));

    public void LinearInput(string name, Activation x)
    {
        if (Source(name) != name) return;
        if (!_moments.TryGetValue(name, out InputMoments? moments)) _moments[name] = moments = new InputMoments(x.Columns);
        moments.Add(x, pool);
        if (original?.Of(name) is not { } input) return;
        if (!_drifts.TryGetValue(name, out InputDrift? drift)) _drifts[name] = drift = new InputDrift(x.Columns);
        drift.Add(input, x, pool);
    }

    public void Hidden(int layer, ReadOnlySpan<float> states) { }

    /// <summary>Of the linear layers that read the same input, the one that runs first.</summary>
    public static string Source(string linear) => linear
        .Replace(".attn_k", ".attn_q", StringComparison.Ordinal)
        .Replace(".attn_v", ".attn_q", StringComparison.Ordinal)
        .Replace(".ffn_up", ".ffn_gate", StringComparison.Ordinal);
}
