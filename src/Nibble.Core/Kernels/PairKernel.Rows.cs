using System.Runtime.Intrinsics;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

internal static unsafe partial class PairKernel
{
    // One to eight tokens: lanes are columns, and nothing is laid out anew.

    /// <summary>Whether so many tokens are laid out for <see cref="PairRows"/>.</summary>
    public static bool AreFew(int tokens, int columns) => tokens <= PairRows.MostTokens && columns % PairRows.LineColumns == 0;

    /// <summary>Writes y = x Wᵀ, x being [tokens, columns] and y [tokens, rows].</summary>
    /// <param name="code">Made for the format and the number of tokens.</param>
    /// <param name="w">Floats of 16 bits, at least as many rows as the code meets at once.</param>
    public static void MultiplyFew(PairRows code, Weight w, Activation x, float* y, WorkerPool pool)
    {
        x.MakePairs(pool, InputPairs.Lines(x.Tokens, 1));
        var job = new FewJob { Code = code, Weight = w, IsFirst = w.IsMultipliedFirst(), X = x, Y = y };
        nint bytes = code.Rows * w.RowBytes;
        pool.Run(ref job, (w.Rows + code.Rows - 1) / code.Rows, MatrixProduct.Least(bytes, x.Tokens));
    }

    /// <summary>Over groups of rows that are met at once.</summary>
    private struct FewJob : IRangeJob
    {
        public PairRows Code;
        public Weight Weight;
        public bool IsFirst;
        public Activation X;
        public float* Y;

        public readonly void Run(int from, int to)
        {
            if (!IsFirst)
            {
                MultiplyGroups(Weight, from, to);
                return;
            }
            int most = Weight.StretchRows(Code.Rows) / Code.Rows;
            for (int group = from; group < to; group += most)
            {
                int end = Math.Min(group + most, to), row = RowOf(group);
                MultiplyGroups(Weight.Window(row, RowOf(end - 1) + Code.Rows - row), group, end);
            }
        }

        /// <summary>The first row of a group; the last rows may be met twice.</summary>
        private readonly int RowOf(int group) => Math.Min(group * Code.Rows, Weight.Rows - Code.Rows);

        private readonly void MultiplyGroups(Weight weight, int from, int to)
        {
            float* sums = stackalloc float[(PairRows.MostSums + 1) * 16];
            fixed (ushort* constants = PairRows.Constants)
            {
                var arguments = new PairRows.Arguments
                {
                    Stride = Weight.RowBytes,
                    Inputs = (ushort*)X.Pairs,
                    Sums = sums,
                    Lines = Weight.Columns / PairRows.LineColumns,
                    Constants = constants,
                };
                for (int group = from; group < to; group++) MultiplyRows(weight, RowOf(group), ref arguments);
            }
        }

        private readonly void MultiplyRows(Weight weight, int row, ref PairRows.Arguments arguments)
        {
            arguments.Weights = weight.Data + row * weight.RowBytes;
            arguments.Next = arguments.Weights + Code.Rows * weight.RowBytes;
            arguments.Rests = 0;
            Code.Multiply(ref arguments);
            // Rows that are met twice may be met by two workers: each writes the whole sum, at once.
            int count = Code.Rows * Code.Tokens;
            float* whole = stackalloc float[PairRows.MostSums];
            for (int i = 0; i < count; i++) whole[i] = Sum(arguments.Sums + i * 16);
            if (Weight.Format != FloatFormat.BF16 && HasRests((uint*)(arguments.Sums + count * 16)))
            {
                arguments.Rests = 1;
                Code.Multiply(ref arguments);
                for (int i = 0; i < count; i++) whole[i] += Sum(arguments.Sums + i * 16);
            }
            for (int i = 0; i < count; i++) *Of(row, i) = whole[i];
        }

        private static bool HasRests(uint* bits) => ((Vector256.Load(bits) | Vector256.Load(bits + 8)) & Vector256.Create(0xFFFFu)) != Vector256<uint>.Zero;

        /// <summary>Where the sum of a row and token is wanted.</summary>
        private readonly float* Of(int row, int sum) => Y + (nint)(sum % Code.Tokens) * Weight.Rows + row + sum / Code.Tokens;

        private static float Sum(float* lanes) => Vector256.Sum(Vector256.Load(lanes) + Vector256.Load(lanes + 8));
    }
}
