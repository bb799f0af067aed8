namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// The inner product of many tokens in bfloat16, generated at run time: 32 rows times eight tokens, or four, two columns an instruction.
/// Products of two bfloat16 are exact in float32, in which they are summed; what is lost is what rounding the inputs loses.
/// </summary>
/// <remarks>A pair of columns is 16 products of 16 pairs for 2 loads and 8 broadcasts: twice the rate of float32.</remarks>
public sealed unsafe class PairPanel
{
    /// <summary>Rows that are met at once.</summary>
    public const int Rows = 32;

    /// <summary>Tokens that are met at once.</summary>
    public const int Tokens = 8;

    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>[pairs, 32 rows]: two bfloat16 of neighbouring columns each.</summary>
        public uint* Weights;

        /// <summary>[pairs, 8 tokens].</summary>
        public uint* Inputs;

        /// <summary>[8 tokens, 32 rows], added to.</summary>
        public float* Sums;

        /// <summary>Pairs of columns, at least 1.</summary>
        public nint Count;

        /// <summary>Tokens that are wanted: of 4 or fewer, the other four are left out.</summary>
        public nint Wanted;
    }

    private static readonly Lazy<PairPanel?> s_panel = new(Load);

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal PairPanel(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>The code, or null where it cannot run.</summary>
    public static PairPanel? Instance => s_panel.Value;

    public void Multiply(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    private static PairPanel? Load()
    {
        if (!Avx512BFloat16.IsSupported) return null;
        nint code = ExecutableMemory.Load(PairPanelCode.Assemble(OperatingSystem.IsWindows()));
        return code == 0 ? null : new PairPanel(code);
    }
}
