using System.Runtime.CompilerServices;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The inner product of many tokens in bfloat16 by matrix registers, generated at run time: 32 rows times 32 tokens.</summary>
/// <remarks>
/// Weights lie as for <see cref="PairPanel"/>: 16 pairs of columns of 16 rows are what <c>tdpbf16ps</c> wants of its second factor. 32 columns
/// are 4 instructions of 16 cycles and 64 rows of registers to load, two a cycle: the products decide, 512 a cycle, 16 times what vectors do.
/// </remarks>
public sealed unsafe class AmxPairs
{
    /// <summary>Tokens that are met at once.</summary>
    public const int Tokens = 2 * Amx.Rows;

    /// <summary>Columns that are met at once.</summary>
    public const int LineColumns = 32;

    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>[lines, 16 pairs, 32 rows]: two bfloat16 of neighbouring columns each.</summary>
        public uint* Weights;

        /// <summary>[lines, 32 tokens, 32 columns] of bfloat16, the lines apart as the stride says.</summary>
        public ushort* Inputs;

        /// <summary>Bytes from a line of inputs to the next one.</summary>
        public nint Stride;

        /// <summary>[32 tokens, 32 rows], added to.</summary>
        public float* Sums;

        /// <summary>Lines of 32 columns, at least 1.</summary>
        public nint Lines;

        /// <summary><see cref="AmxPairs.Configuration"/> in a thread's first call, else null.</summary>
        public byte* Configuration;

        /// <summary>Not 0 in a thread's last call: the registers are let go of.</summary>
        public nint Last;
    }

    private static readonly Lazy<AmxPairs?> s_pairs = new(Load);

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal AmxPairs(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>The code, or null where it cannot run.</summary>
    public static AmxPairs? Instance => s_pairs.Value;

    public void Multiply(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    /// <summary>How the registers are used: all whole.</summary>
    public static byte* Configuration { get; } = Configure();

    private static byte* Configure()
    {
        (int, int) whole = (Amx.Rows, Amx.RowBytes);
        var configuration = (byte*)RuntimeHelpers.AllocateTypeAssociatedMemory(typeof(AmxPairs), Amx.ConfigurationBytes);
        Amx.Configure(configuration, whole, whole, whole, whole, whole, whole, whole, whole);
        return configuration;
    }

    private static AmxPairs? Load()
    {
        if (!Amx.HasBFloat16) return null;
        nint code = ExecutableMemory.Load(AmxPairsCode.Assemble());
        return code == 0 ? null : new AmxPairs(code);
    }
}
