namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// Numbers become pairs of bfloat16, as products of pairs (<c>vdpbf16ps</c>) read them: neighbours of a run, or those that stand under
/// each other in two rows. Generated at run time; of F16 or of F32.
/// </summary>
/// <remarks>The nearest bfloat16, the even one of two; what is subnormal becomes zero.</remarks>
public sealed unsafe class NumberPairs
{
    /// <summary>Pairs that are made at once.</summary>
    public const int Lanes = 16;

    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>Sixteen numbers that become the lower half of a vector of 32, and sixteen that become the upper.</summary>
        public void* Lower, Upper;

        /// <summary>Bytes from there to the next.</summary>
        public nint Step;

        /// <summary>Vectors of a row, at least 1.</summary>
        public nint Vectors;

        /// <summary>Bytes from the end of a row to the next that is read.</summary>
        public nint Skip;

        /// <summary>Rows, at least 1.</summary>
        public nint Rows;

        /// <summary>[rows, vectors, 16 pairs]; may be where the numbers are, which are read first.</summary>
        public uint* Pairs;

        /// <summary>Which of the 32 numbers each of a vector is.</summary>
        public ushort* Order;
    }

    private static readonly ushort[] s_inOrder = [.. Enumerable.Range(0, 32).Select(i => (ushort)i)];
    private static readonly ushort[] s_inTurns = [.. Enumerable.Range(0, 32).Select(i => (ushort)(i / 2 + i % 2 * 16))];

    private static readonly Lazy<NumberPairs?> s_ofHalves = new(() => Load(halves: true)), s_ofFloats = new(() => Load(halves: false));

    private readonly delegate* unmanaged<Arguments*, void> _code;
    private readonly nint _vectorBytes;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    /// <param name="halves">Whether it reads F16, else F32.</param>
    internal NumberPairs(nint code, bool halves)
    {
        _code = (delegate* unmanaged<Arguments*, void>)code;
        _vectorBytes = Lanes * (halves ? sizeof(ushort) : sizeof(float));
    }

    /// <summary>Whether all code can run that makes pairs of numbers and multiplies them.</summary>
    public static bool AreMultiplied => OfHalves is not null && OfFloats is not null && WideProducts.OfPairs(1) is not null && WideProducts.OfPairs(WideProducts.MostLines) is not null;

    /// <summary>The code that reads F16, or null where it cannot run.</summary>
    public static NumberPairs? OfHalves => s_ofHalves.Value;

    /// <summary>The code that reads F32, or null where it cannot run.</summary>
    public static NumberPairs? OfFloats => s_ofFloats.Value;

    /// <summary>Pairs of a number and the next one.</summary>
    /// <param name="numbers">A multiple of 32.</param>
    /// <param name="count">How many.</param>
    /// <param name="pairs">Half as many.</param>
    public void JoinNeighbours(void* numbers, int count, uint* pairs)
    {
        if (count == 0) return;
        fixed (ushort* order = s_inOrder)
        {
            var arguments = new Arguments
            {
                Lower = numbers,
                Upper = (byte*)numbers + _vectorBytes,
                Step = 2 * _vectorBytes,
                Vectors = count / (2 * Lanes),
                Rows = 1,
                Pairs = pairs,
                Order = order,
            };
            _code(&arguments);
        }
    }

    /// <summary>Pairs of a row and the next one; a last row without a next is its own.</summary>
    /// <param name="numbers">[rows, width].</param>
    /// <param name="width">A multiple of 16.</param>
    /// <param name="rows">At least 1.</param>
    /// <param name="pairs">[half the rows, rounded up, width].</param>
    public void JoinRows(void* numbers, int width, int rows, uint* pairs)
    {
        nint rowBytes = width / Lanes * _vectorBytes;
        fixed (ushort* order = s_inTurns)
        {
            var arguments = new Arguments
            {
                Lower = numbers,
                Upper = (byte*)numbers + rowBytes,
                Step = _vectorBytes,
                Vectors = width / Lanes,
                Skip = rowBytes,
                Rows = rows / 2,
                Pairs = pairs,
                Order = order,
            };
            if (arguments.Rows > 0) _code(&arguments);
            if (rows % 2 == 0) return;
            arguments.Lower = arguments.Upper = (byte*)numbers + (rows - 1) * rowBytes;
            arguments.Pairs = pairs + rows / 2 * (nint)width;
            arguments.Rows = 1;
            _code(&arguments);
        }
    }

    private static NumberPairs? Load(bool halves)
    {
        if (!Avx512BFloat16.IsSupported) return null;
        nint code = ExecutableMemory.Load(NumberPairsCode.Assemble(halves, OperatingSystem.IsWindows()));
        return code == 0 ? null : new NumberPairs(code, halves);
    }
}
