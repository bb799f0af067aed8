using System.Numerics.Tensors;
using Nibble.Core.Kernels;

namespace Nibble.Models.Decoder;

/// <summary>The addition of what a block makes to the residual stream; nothing where there is no stream.</summary>
internal unsafe struct Residual : IRowsJob
{
    /// <summary>[tokens, width], changed in place, or null.</summary>
    public float* Stream;
    /// <summary>Numbers of a token, <see cref="AddedStride"/> floats apart.</summary>
    public float* Added;
    public int AddedStride;
    public int Tokens;
    public int Width;
    /// <summary>Multiplies what is added.</summary>
    public float Scale;

    public readonly int Units => Stream is null ? 0 : (Width + PackedMatrix.TileRows - 1) / PackedMatrix.TileRows;

    public void Read(ReadOnlySpan<nint> results, int stride)
    {
        Added = (float*)results[0];
        AddedStride = stride;
    }

    public readonly void Run(int from, int to)
    {
        (from, to) = (from * PackedMatrix.TileRows, Math.Min(to * PackedMatrix.TileRows, Width));
        for (int t = 0; t < Tokens; t++)
        {
            var sum = new Span<float>(Stream + (nint)t * Width + from, to - from);
            var term = new ReadOnlySpan<float>(Added + (nint)t * AddedStride + from, to - from);
            if (Scale == 1) TensorPrimitives.Add(sum, term, sum);
            else TensorPrimitives.MultiplyAdd(term, Scale, sum, sum);
        }
    }
}
