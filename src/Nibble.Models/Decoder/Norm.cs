using System.Numerics.Tensors;
using Nibble.Core.Kernels;
using Nibble.Core.Threading;

namespace Nibble.Models.Decoder;

/// <summary>A normalization and its weights.</summary>
internal sealed unsafe class Norm(NormKind kind, float epsilon, float[] weight, float[] bias)
{
    public int Width => weight.Length;

    /// <summary>y = norm(x) for rows as long as the weight; y may be x.</summary>
    public void Apply(float* x, int rows, float* y, WorkerPool pool) => Norms.Rows(kind, x, rows, Width, weight, bias, epsilon, y, pool);

    /// <summary>Normalizes one row in place.</summary>
    public void Row(float* x) => Norms.Row(kind, new(x, Width), weight, bias, epsilon, new(x, Width));

    /// <summary>Multiplies what comes out.</summary>
    /// <param name="factors">One a column.</param>
    public void Scale(ReadOnlySpan<float> factors)
    {
        TensorPrimitives.Multiply(weight, factors, weight);
        if (bias.Length > 0) TensorPrimitives.Multiply(bias, factors, bias);
    }

    /// <summary>The norm of a part: one head of several that each have weights of their own.</summary>
    public Norm Slice(int start, int length) =>
        new(kind, epsilon, weight[start..(start + length)], bias.Length == 0 ? bias : bias[start..(start + length)]);
}
