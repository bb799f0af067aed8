using System.Numerics.Tensors;
using Nibble.Core.Kernels;
using Nibble.Models.Decoder;

namespace Nibble.Quantization.Calibration;

/// <summary>Sums the squares of what every linear layer reads; of experts, each for itself.</summary>
public sealed unsafe class ImportanceProbe : IProbe
{
    private readonly Dictionary<string, Sums> _sums = [];
    private float[] _batch = [];

    /// <summary>What a module read: a row of sums an expert. Null if no token reached it.</summary>
    /// <param name="module">The decoder's name: <c>blk.0.attn_q</c>, <c>blk.0.ffn_up_exps</c>.</param>
    /// <param name="experts">1 for a layer without.</param>
    public ColumnImportance? Of(string module, int experts)
    {
        Sums?[] parts = [.. Enumerable.Range(0, experts).Select(e => _sums.GetValueOrDefault(experts == 1 ? module : $"{module}[{e}]"))];
        if (parts.FirstOrDefault(p => p is not null) is not { } any) return null;
        var sums = new float[experts * any.Squares.Length];
        for (int i = 0; i < sums.Length; i++) sums[i] = (float)(parts[i / any.Squares.Length]?.Squares[i % any.Squares.Length] ?? 0);
        return new ColumnImportance(sums, [.. parts.Select(p => (float)(p?.Tokens ?? 0))]);
    }

    public void LinearInput(string name, Activation x)
    {
        if (!_sums.TryGetValue(name, out Sums? sums)) _sums[name] = sums = new Sums(new double[x.Columns]);
        if (_batch.Length < x.Columns) _batch = new float[x.Columns];
        // Single precision within a batch, double across them: no sum drifts, however long the text.
        Span<float> batch = _batch.AsSpan(0, x.Columns);
        batch.Clear();
        for (int t = 0; t < x.Tokens; t++)
        {
            var row = new ReadOnlySpan<float>(x.Floats + (nint)t * x.Columns, x.Columns);
            TensorPrimitives.MultiplyAdd(row, row, batch, batch);
        }
        for (int c = 0; c < batch.Length; c++) sums.Squares[c] += batch[c];
        sums.Tokens += x.Tokens;
    }

    public void Hidden(int layer, ReadOnlySpan<float> states) { }

    private sealed class Sums(double[] squares)
    {
        public double[] Squares => squares;

        public long Tokens { get; set; }
    }
}
