namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// The inner product of prefill at 512 bits, generated at run time because .NET 10 offers vpdpbusd at 256 bits only: 32 rows
/// (two tiles) of unpacked codes times six tokens. It computes what <see cref="VnniDot"/> computes, in the same order, so the
/// results are equal to the bit.
/// </summary>
/// <remarks>
/// An input of four columns is broadcast once for 32 rows: 12 dot products for 6 broadcasts and 2 loads of codes, where 16
/// rows would need a load each. A chunk is 96 dot products, and 12 times a conversion and two multiply-adds: 132
/// instructions of the two vector ports for 6,144 products, 93 a cycle of the 128 that the ports could do.
/// </remarks>
public sealed unsafe class WidePanel
{
    /// <summary>Tiles that are met at once.</summary>
    public const int Tiles = 2;

    /// <summary>Tokens that are met at once.</summary>
    public const int Tokens = 6;

    /// <summary>Chunks of the two tiles that are unpacked at once: 16 KiB of codes.</summary>
    public const int Chunks = 16;

    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>[tiles, <see cref="Chunks"/>, 8 steps, 16 rows, 4 columns], bytes as the dot product takes them.</summary>
        public byte* Codes;

        /// <summary>[scales or offsets, tiles, <see cref="Chunks"/>, parts, 16 rows].</summary>
        public float* Numbers;

        /// <summary>The first chunk's codes of the first token.</summary>
        public sbyte* X;

        /// <summary>Bytes from a token's codes to the next one's.</summary>
        public nint Stride;

        /// <summary>[chunks, parts, <see cref="InputNumbers.Kinds"/>, <see cref="Tokens"/>].</summary>
        public float* Inputs;

        /// <summary>[tokens, tiles, 16 rows], added to.</summary>
        public float* Sums;

        /// <summary>Chunks to take, at least 1.</summary>
        public nint Count;
    }

    private static readonly Lazy<WidePanel?>[] s_panels = [.. Enumerable.Range(0, 4).Select(i => new Lazy<WidePanel?>(() => Load(1 + i / 2, i % 2 == 1)))];

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal WidePanel(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>True if it can be used; where the system lets no program write machine code it cannot, on any processor.</summary>
    public static bool IsInUse => For(1, false) is not null;

    /// <summary>The code for a shape of scales, or null where it cannot run.</summary>
    public static WidePanel? For(int parts, bool hasOffsets) => s_panels[2 * (parts - 1) + (hasOffsets ? 1 : 0)].Value;

    public void Multiply(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    private static WidePanel? Load(int parts, bool hasOffsets)
    {
        if (!Avx512Vnni.IsSupported) return null;
        nint code = ExecutableMemory.Load(WidePanelCode.Assemble(parts, hasOffsets, OperatingSystem.IsWindows()));
        return code == 0 ? null : new WidePanel(code);
    }
}
