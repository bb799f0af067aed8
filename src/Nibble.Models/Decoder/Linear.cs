using System.Numerics.Tensors;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Models.Decoder;

/// <summary>A linear layer, whatever the format of its weight: y = x Wᵀ + b.</summary>
public sealed unsafe class Linear
{
    private readonly float[] _bias;
    private Linear? _next;

    internal Linear(string name, Weight weight, float[] bias)
    {
        Name = name;
        Weight = weight;
        _bias = bias;
    }

    /// <summary>The canonical name, without <c>.weight</c>: <c>blk.0.attn_q</c>, of an expert <c>blk.0.ffn_up_exps[3]</c>.</summary>
    public string Name { get; }

    /// <summary>
    /// The name of what it reads: that of the first of the linear layers that read it together, so that what is measured of an
    /// input is measured once.
    /// </summary>
    public string InputName => Group is { } group ? group.Linears[0].Name : Name;

    /// <summary>[rows, columns]: outputs by inputs.</summary>
    public Weight Weight { get; private set; }

    /// <summary>How its inputs are rounded; null leaves it to the kernels.</summary>
    public InputRounding? InputRounding { get; internal set; }

    /// <summary>The layer that runs after this one; null where that is not known.</summary>
    internal Linear? Next { get => _next; set => _next = value; }

    /// <summary>Those that it runs together with.</summary>
    internal LinearGroup? Group { get; set; }

    /// <summary>Whether what it makes is not wanted: then it gives zeros, and takes no time.</summary>
    public bool IsIdle { get; set; }

    /// <summary>One number an output, or empty.</summary>
    public ReadOnlySpan<float> Bias => _bias;

    /// <summary>Puts another weight of the same shape in place of this one.</summary>
    public void Replace(Weight weight)
    {
        if (weight.Rows != Weight.Rows || weight.Columns != Weight.Columns)
            throw new ArgumentException($"{Name} is [{Weight.Rows}, {Weight.Columns}], not [{weight.Rows}, {weight.Columns}]", nameof(weight));
        Weight = weight;
    }

    /// <param name="x">[tokens, columns].</param>
    /// <param name="y">[tokens, rows], overwritten.</param>
    internal void Apply(Activation x, float* y, WorkerPool pool)
    {
        if (IsIdle)
        {
            for (int t = 0; t < x.Tokens; t++) new Span<float>(y + (nint)t * Weight.Rows, Weight.Rows).Clear();
            return;
        }
        MatrixProduct.Multiply(Weight, x, y, pool, InputRounding, ReadNext(stackalloc MemoryRange[MatrixProduct.MostTogether]));
        if (_bias.Length == 0) return;
        for (int t = 0; t < x.Tokens; t++)
        {
            var row = new Span<float>(y + (nint)t * _bias.Length, _bias.Length);
            TensorPrimitives.Add(row, _bias, row);
        }
    }

    /// <summary>What is read after this layer: the weights of the next, and of those that it runs together with.</summary>
    internal ReadOnlySpan<MemoryRange> ReadNext(Span<MemoryRange> ranges)
    {
        if (Next is null) return default;
        ReadOnlySpan<Linear> next = Next.Group is { } group && group != Group ? group.Linears : new ReadOnlySpan<Linear>(ref _next!);
        for (int i = 0; i < next.Length; i++) ranges[i] = next[i].Weight.Range;
        return ranges[..next.Length];
    }
}
