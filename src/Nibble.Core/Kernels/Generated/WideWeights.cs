namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// The softmax of attention over many rows at 512 bits, a lane a row: scores of some keys become weights relative to each row's largest
/// so far, and what was summed before shrinks accordingly. Generated at run time, for what is compiled ahead of time is compiled for
/// processors of 256 bits.
/// </summary>
/// <remarks>A line of 16 scores is 15 operations, 12 of which multiply.</remarks>
public sealed unsafe class WideWeights
{
    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>[keys, 16 rows]; weights are written over them.</summary>
        public float* Scores;

        /// <summary>At least 1.</summary>
        public nint Keys;

        /// <summary>Each row's largest so far; raised.</summary>
        public float* Largest;

        /// <summary>Each row's sum of weights, relative to its largest.</summary>
        public float* Total;

        /// <summary>[lines, 16 rows], relative to each row's largest.</summary>
        public float* Sums;

        /// <summary>At least 1.</summary>
        public nint SumLines;
    }

    private static readonly Lazy<WideWeights?> s_weights = new(Load);

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal WideWeights(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>The code, or null where it cannot run.</summary>
    public static WideWeights? Instance => s_weights.Value;

    public void Weigh(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    private static WideWeights? Load()
    {
        if (!Avx512Vnni.IsSupported) return null;
        nint code = ExecutableMemory.Load(WideWeightsCode.Assemble(OperatingSystem.IsWindows()));
        return code == 0 ? null : new WideWeights(code);
    }
}
