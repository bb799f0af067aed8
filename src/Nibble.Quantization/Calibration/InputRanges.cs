using System.Numerics.Tensors;
using Nibble.Core.Kernels;
using Nibble.Models.Decoder;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// The largest magnitude that each column of each linear layer's input reaches on some texts: what static scales are made
/// of.
/// </summary>
public sealed class InputRanges
{
    private readonly Dictionary<string, float[]> _largest;

    /// <param name="largest">Magnitudes by layer: of each column, or one of them all.</param>
    internal InputRanges(Dictionary<string, float[]> largest) => _largest = largest;

    /// <summary>Runs texts through a model and looks on.</summary>
    /// <param name="texts">Token ids; each starts at position 0.</param>
    /// <param name="cancellation">Looked at between texts.</param>
    public static InputRanges Measure(DecoderModel model, IReadOnlyList<int[]> texts, CancellationToken cancellation)
    {
        var probe = new RangeProbe(model);
        using KvCache cache = model.NewCache(texts.Max(t => t.Length));
        foreach (int[] text in texts)
        {
            cancellation.ThrowIfCancellationRequested();
            cache.Clear();
            model.Forward(text, cache, default, LogitPositions.None, probe);
        }
        return new InputRanges(probe.Largest);
    }

    /// <summary>Gives every linear layer of a model the static scales that these ranges make.</summary>
    /// <param name="rounding">A static one.</param>
    /// <returns>The layers that no token reached, whose inputs stay as they are: experts that were never chosen.</returns>
    public IReadOnlyList<string> Apply(DecoderModel model, InputRounding rounding)
    {
        var unknown = new List<string>();
        model.RoundInputs(linear =>
        {
            if (_largest.TryGetValue(linear.Name, out float[]? largest)) return rounding.WithLargest(largest);
            unknown.Add(linear.Name);
            return InputRounding.None;
        });
        return unknown;
    }

    private sealed class RangeProbe(DecoderModel model) : IProbe
    {
        public Dictionary<string, float[]> Largest { get; } = [];

        public void LinearInput(string name, Activation x)
        {
            if (!Largest.TryGetValue(name, out float[]? largest)) Largest[name] = largest = new float[x.Columns];
            for (int t = 0; t < x.Tokens; t++) TensorPrimitives.MaxMagnitude(x.Row(t), largest, largest);
        }

        public void Hidden(int layer, ReadOnlySpan<float> states)
        {
            if (layer == model.LayerCount - 1) model.ProbeHead(states, states.Length / model.Config.Hidden, this);
        }
    }
}
