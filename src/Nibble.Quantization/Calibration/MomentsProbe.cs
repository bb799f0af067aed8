using Nibble.Core.Kernels;
using Nibble.Core.Threading;
using Nibble.Models.Decoder;

namespace Nibble.Quantization.Calibration;

/// <summary>Collects the moments of every linear layer's input; layers that read the same input share them.</summary>
public sealed class MomentsProbe(WorkerPool pool) : IProbe
{
    private readonly Dictionary<string, InputMoments> _moments = [];

    /// <summary>The moments of a linear layer's input, or null if no token reached it.</summary>
    public InputMoments? Of(string linear) => _moments.GetValueOrDefault(Source(linear));

    public void LinearInput(string name, Activation x)
    {
        if (Source(name) != name) return;
        if (!_moments.TryGetValue(name, out InputMoments? moments)) _moments[name] = moments = new InputMoments(x.Columns);
        moments.Add(x, pool);
    }

    public void Hidden(int layer, ReadOnlySpan<float> states) { }

    /// <summary>Of the linear layers that read the same input, the one that runs first.</summary>
    private static string Source(string linear) => linear
        .Replace(".attn_k", ".attn_q", StringComparison.Ordinal)
        .Replace(".attn_v", ".attn_q", StringComparison.Ordinal)
        .Replace(".ffn_up", ".ffn_gate", StringComparison.Ordinal);
}
