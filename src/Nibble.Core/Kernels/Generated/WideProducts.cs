namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// The inner product of attention over many rows at 512 bits: eight numbers at a time with a line of 16 rows, or with two such lines
/// side by side. Generated at run time, for what is compiled ahead of time is compiled for processors of 256 bits.
/// </summary>
/// <remarks>
/// A step with two lines is 16 multiply-adds and 10 loads, with one 8 and 9: where a processor has as many places for loads as for
/// multiply-adds, loads decide with one line, multiply-adds with two. The same with intrinsics of 256 bits has 8 and 6 for half of it.
/// With pairs of bfloat16 in place of numbers each step is two.
/// </remarks>
public sealed unsafe class WideProducts
{
    /// <summary>Numbers that are met at once.</summary>
    public const int Numbers = 8;

    /// <summary>What the generated code is told. Its fields are read by their offsets, and those that move are left where they end.</summary>
    public struct Arguments
    {
        /// <summary>The first number of the first step.</summary>
        public float* A;

        /// <summary>Bytes from a number to the next one.</summary>
        public nint Apart;

        /// <summary>Bytes from a step to the next one.</summary>
        public nint Along;

        /// <summary>[steps, 16 rows].</summary>
        public float* B;

        /// <summary>Bytes from there to the rows beside them.</summary>
        public nint BApart;

        /// <summary>Steps, at least 1.</summary>
        public nint Count;

        /// <summary>[groups, 8 numbers, 16 rows], added to.</summary>
        public float* Sums;

        /// <summary>Bytes from there to the sums of the rows beside them.</summary>
        public nint SumsApart;

        /// <summary>Groups of eight numbers, at least 1.</summary>
        public nint Groups;
    }

    /// <summary>Lines of rows side by side at most.</summary>
    public const int MostLines = 2;

    private static readonly Lazy<WideProducts?>[] s_products = Make(pairs: false), s_ofPairs = Make(pairs: true);

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal WideProducts(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>The code for one or two lines of rows side by side, or null where it cannot run.</summary>
    public static WideProducts? For(int lines) => s_products[lines - 1].Value;

    /// <summary>The same where each number is a pair of bfloat16, the number of a step and that of the next.</summary>
    public static WideProducts? OfPairs(int lines) => s_ofPairs[lines - 1].Value;

    public void Add(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    private static Lazy<WideProducts?>[] Make(bool pairs) => [.. Enumerable.Range(1, MostLines).Select(lines => new Lazy<WideProducts?>(() => Load(lines, pairs)))];

    private static WideProducts? Load(int lines, bool pairs)
    {
        if (!(pairs ? Avx512BFloat16.IsSupported : Avx512Vnni.IsSupported)) return null;
        nint code = ExecutableMemory.Load(WideProductsCode.Assemble(lines, pairs, OperatingSystem.IsWindows()));
        return code == 0 ? null : new WideProducts(code);
    }
}
