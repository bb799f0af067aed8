namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// Gated units at 512 bits: x σ(z) times the other factor, or alone, where z is x or a polynomial of it. Generated at run time, for what is
/// compiled ahead of time is compiled for processors of 256 bits.
/// </summary>
/// <remarks>
/// Of x / (1 + e to -z). A vector is about 20 operations and one division, 10 cycles of two that multiply: 16 numbers, for eight of 26 cycles
/// by 256 bits.
/// </remarks>
public sealed unsafe class WideGate
{
    /// <summary>Numbers of a vector.</summary>
    public const int Lanes = 16;

    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>Rows of x, and of the other factor if there is one.</summary>
        public float* Gate, Up;

        /// <summary>What is written; its own rows.</summary>
        public float* Y;

        /// <summary>Vectors of a row, at least 1.</summary>
        public nint Vectors;

        /// <summary>Rows, at least 1.</summary>
        public nint Rows;

        /// <summary>Bytes from the end of a row to the next, of x and the other factor, and of what is written.</summary>
        public nint Skip, SkipY;
    }

    private static readonly Lazy<WideGate?>[] s_gates = [.. Enumerable.Range(0, 2 * Enum.GetValues<Nonlinearity>().Length).Select(i => new Lazy<WideGate?>(() => Load((Nonlinearity)(i / 2), i % 2 == 1)))];

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal WideGate(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>The code of a nonlinearity, or null where it cannot run or there is none.</summary>
    /// <param name="hasUp">Whether there is another factor.</param>
    public static WideGate? Of(Nonlinearity f, bool hasUp) => s_gates[(int)f * 2 + (hasUp ? 1 : 0)].Value;

    public void Apply(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    private static WideGate? Load(Nonlinearity f, bool hasUp)
    {
        if (!Avx512Vnni.IsSupported || WideGateCode.Exponent(f) is null) return null;
        nint code = ExecutableMemory.Load(WideGateCode.Assemble(f, hasUp, OperatingSystem.IsWindows()));
        return code == 0 ? null : new WideGate(code);
    }
}
