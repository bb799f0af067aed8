using System.Runtime.Intrinsics;

namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// The product of four rows of a <see cref="LevelMatrix"/> with one token at 512 bits, generated at run time because .NET 10
/// offers vpdpbusd at 256 bits only: what <see cref="LevelKernel"/> computes, but for the order of the float sums.
/// </summary>
/// <remarks>
/// A register holds the 64 columns of a row. Of small codes these are 7 1/2 operations: half a shift, for two rows share their bytes,
/// two look-ups by vpermb, which minds neither what stands above the code in a byte nor whose row it is, vpmaddubsw and vpdpwssd
/// for the upper digit, vpdpbusd for the lower, and two multiply-adds for the scales, the conversion being a first
/// summand (<see cref="LevelInput.Whole"/>). Of codes of a byte there are 9: no shift, but two for the sign.
/// </remarks>
public sealed unsafe class WideLevels
{
    /// <summary>Floats of a row's sums.</summary>
    public const int SumLanes = 16;

    /// <summary>Bytes of <see cref="Arguments.Sums"/>.</summary>
    public const int SumBytes = LevelMatrix.TileRows * SumLanes * sizeof(float);

    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>The codes of the tile: [stretches, <see cref="LevelMatrix.TileBytes"/>].</summary>
        public byte* Codes;

        /// <summary>[stretches, 4].</summary>
        public float* Scales;

        /// <summary>[stretches, 4].</summary>
        public byte* Numbers;

        /// <summary>Where <see cref="Numbers"/> count from.</summary>
        public byte* Tables;

        /// <summary>One a stretch.</summary>
        public LevelInput* Inputs;

        /// <summary>At least 1.</summary>
        public nint Stretches;

        /// <summary>[4, 16], overwritten; the sums of the rows are the first four after <see cref="Multiply"/>.</summary>
        public float* Sums;
    }

    private static readonly Lazy<WideLevels?> s_small = new(() => Load(true)), s_large = new(() => Load(false));

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal WideLevels(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>The code for small codes or large, or null where it cannot run.</summary>
    public static WideLevels? For(bool small) => (small ? s_small : s_large).Value;

    public void Multiply(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
        float* lanes = arguments.Sums;
        for (int r = 0; r < LevelMatrix.TileRows; r++, lanes += SumLanes)
            arguments.Sums[r] = Vector256.Sum(Vector256.Load(lanes) + Vector256.Load(lanes + 8));
    }

    private static WideLevels? Load(bool small)
    {
        if (!Avx512Vnni.IsSupported || !Avx512Vnni.HasByteLookUps) return null;
        nint code = ExecutableMemory.Load(WideLevelsCode.Assemble(small, OperatingSystem.IsWindows()));
        return code == 0 ? null : new WideLevels(code);
    }
}
