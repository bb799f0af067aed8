namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// Makes tables of <see cref="PartialProducts"/> at 512 bits: 256 entries, rounded to 16 bits, times the input at a place. Generated at
/// run time because .NET 10 has no vpdpwssd, and no AVX-512 at all in programs compiled ahead of time.
/// </summary>
/// <remarks>
/// With 8 dimensions 64 vpdpwssd a place, of which a Zen 4 does one a cycle, and 48 other operations, which share the ports with them.
/// </remarks>
public sealed unsafe class EntryProducts
{
    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>A codebook: [4 groups of 64 entries, dimension / 2, 4 registers, 16 entries, 2].</summary>
        public short* Numbers;

        /// <summary>[dimension], the input at the first place.</summary>
        public short* X;

        /// <summary>Bytes from a place's input to the next one's.</summary>
        public nint XStride;

        /// <summary>Written: of each place the lower bytes of 256 products, then the upper ones.</summary>
        public byte* Table;

        /// <summary>Bytes from a place's table to the next one's.</summary>
        public nint TableStride;

        /// <summary>At least 1.</summary>
        public nint Places;
    }

    /// <summary>By dimension: 2, 4, 8.</summary>
    private static readonly Lazy<EntryProducts?>[] s_all = [.. Enumerable.Range(1, 3).Select(log => new Lazy<EntryProducts?>(() => Load(1 << log)))];

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal EntryProducts(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>The code for vectors of 2, 4 or 8 numbers, or null where it cannot run.</summary>
    public static EntryProducts? For(int dimension) => s_all[int.Log2(dimension) - 1].Value;

    public void Make(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    private static EntryProducts? Load(int dimension)
    {
        if (!Avx512Vnni.IsSupported) return null;
        nint code = ExecutableMemory.Load(EntryProductsCode.Assemble(dimension, OperatingSystem.IsWindows()));
        return code == 0 ? null : new EntryProducts(code);
    }
}
