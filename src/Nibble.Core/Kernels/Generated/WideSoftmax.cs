namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// The softmax of attention over few rows at 512 bits: scores of a block of keys become weights relative to each row's largest so far.
/// Generated at run time, for what is compiled ahead of time is compiled for processors of 256 bits.
/// </summary>
/// <remarks>
/// A row is about 100 instructions without a branch, 50 of which multiply 512 bits. Rows do not wait for each other.
/// </remarks>
public sealed unsafe class WideSoftmax
{
    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>[rows, <see cref="Attention.KeyBlock"/>]; weights are written over them.</summary>
        public float* Scores;

        /// <summary>Each row's largest so far; raised.</summary>
        public float* Largest;

        /// <summary>Each row's sum of weights, relative to its largest.</summary>
        public float* Total;

        /// <summary>Overwritten by what sums that were made before must be multiplied with.</summary>
        public float* Shrink;

        /// <summary>At least 1.</summary>
        public nint Rows;
    }

    private static readonly Lazy<WideSoftmax?> s_softmax = new(Load);

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal WideSoftmax(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>The code, or null where it cannot run.</summary>
    public static WideSoftmax? Instance => s_softmax.Value;

    public void Weigh(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    private static WideSoftmax? Load()
    {
        if (!Avx512Vnni.IsSupported) return null;
        nint code = ExecutableMemory.Load(WideSoftmaxCode.Assemble(OperatingSystem.IsWindows()));
        return code == 0 ? null : new WideSoftmax(code);
    }
}
