namespace Nibble.Core.Formats;

public abstract partial class Format
{
    /// <summary>
    /// Every format. Adding one is a file in this folder and a line here: the command line, the GGUF type numbers, the
    /// law tests, the benchmarks and the table in the docs all read this list.
    /// </summary>
    public static IReadOnlyList<Format> All { get; } =
    [
        FloatFormat.F64,
        FloatFormat.F32,
        FloatFormat.F16,
        FloatFormat.BF16,
        FloatFormat.F8_E4M3,
        FloatFormat.F8_E5M2,
        new BlockFormat<Q8_0>(),
        new BlockFormat<Q6_K>(),
        new BlockFormat<Q5_K>(),
        new BlockFormat<Q5_1>(),
        new BlockFormat<Q5_0>(),
        new BlockFormat<Q4_K>(),
        new BlockFormat<Q4_1>(),
        new BlockFormat<Q4_0>(),
        new BlockFormat<Q3_K>(),
        new BlockFormat<Q2_K>(),
        new BlockFormat<Q2_0>(),
        new BlockFormat<TQ2_0>(),
        new BlockFormat<TQ1_0>(),
        new BlockFormat<Q1_0>(),
        new BlockFormat<IQ4_NL>(),
        new BlockFormat<IQ4_XS>(),
        new BlockFormat<MXFP4>(),
        new BlockFormat<NVFP4>(),
        new BlockFormat<IQ3_S>(),
        new BlockFormat<IQ3_XXS>(),
        new BlockFormat<IQ2_S>(),
        new BlockFormat<IQ2_XS>(),
        new BlockFormat<IQ2_XXS>(),
        new BlockFormat<IQ1_M>(),
        new BlockFormat<IQ1_S>(),
        LinearFormat.OfBits(1),
        LinearFormat.OfBits(2),
        LinearFormat.OfBits(3),
        LinearFormat.OfBits(4),
        LinearFormat.OfBits(5),
        LinearFormat.OfBits(6),
        LinearFormat.OfBits(7),
        LinearFormat.OfBits(8),
        LogFormat.OfBits(2),
        LogFormat.OfBits(3),
        LogFormat.OfBits(4),
        LogFormat.OfBits(5),
        LogFormat.OfBits(6),
        LogFormat.OfBits(7),
        LogFormat.OfBits(8),
        TableFormat.PowersOfTwo(4),
        TableFormat.AdditivePowersOfTwo(4),
        TableFormat.NF4,
        TableFormat.FP4,
        VectorFormat.Of(2, 256),
        VectorFormat.Of(4, 256),
        VectorFormat.Of(8, 256),
        VectorFormat.Of(8, 256, stages: 2),
        E8Format.Default,
        TrellisFormat.OfBits(2),
        TrellisFormat.OfBits(3),
        TrellisFormat.OfBits(4),
    ];

    /// <summary>The format of this name, whatever its case: one of the list, or a variant that a family's grammar describes.</summary>
    /// <exception cref="UnusableInputException">No format has the name.</exception>
    public static Format Parse(string name) =>
        All.FirstOrDefault(f => f.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
        ?? (Format?)RotatedFormat.TryParse(name)
        ?? LinearFormat.TryParse(name)
        ?? TableFormat.TryParse(name)
        ?? LogFormat.TryParse(name)
        ?? E8Format.TryParse(name)
        ?? TrellisFormat.TryParse(name)
        ?? (Format?)VectorFormat.TryParse(name)
        ?? throw new UnusableInputException($"there is no format '{name}'; 'nibble formats' lists them");

    /// <summary>The format of this GGUF type number, or null.</summary>
    public static Format? OfGgufType(uint type) => All.FirstOrDefault(f => f.GgufType == type);
}
