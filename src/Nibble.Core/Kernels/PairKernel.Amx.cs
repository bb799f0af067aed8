using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

internal static unsafe partial class PairKernel
{
    // Sixteen tokens or more, where the processor multiplies matrices.

    /// <summary>Whether so many tokens go to <see cref="AmxPairs"/>, where there is such code.</summary>
    public static bool AreMany(int tokens, int columns) => tokens >= Amx.Rows && columns % AmxPairs.LineColumns == 0;

    /// <summary>Writes y = x Wᵀ, x being [tokens, columns] and y [tokens, rows].</summary>
    /// <param name="code">What multiplies.</param>
    /// <param name="w">Floats of 16 bits, whole lines of columns.</param>
    public static void Multiply(AmxPairs code, Weight w, Activation x, float* y, WorkerPool pool)
    {
        x.MakePairs(pool, InputPairs.Lines(x.Tokens, AmxPairs.Tokens));
        var job = new AmxJob { Code = code, Weight = w, X = x, Y = y };
        pool.Run(ref job);
    }

    private struct AmxJob : IParallelJob
    {
        public AmxPairs Code;
        public Weight Weight;
        public Activation X;
        public float* Y;
        private int _taken;

        public void Run(int worker, int workers)
        {
            byte* configuration = stackalloc byte[Amx.ConfigurationBytes];
            AmxPairs.Configure(configuration);
            // As with vectors, a core that other programs disturb takes fewer.
            for (int row; (row = (Interlocked.Increment(ref _taken) - 1) * PairPanel.Rows) < Weight.Rows;)
                Multiply32(new AmxProducts(Code, X, configuration), Weight, X, Y, row);
        }
    }

    private readonly struct AmxProducts(AmxPairs code, Activation x, byte* configuration) : IProducts
    {
        public int Tokens => AmxPairs.Tokens;

        public void Add(uint* weights, int first, int count, float* sums)
        {
            int padded = InputPairs.Padded(x.Tokens, AmxPairs.Tokens);
            const int line = AmxPairs.LineColumns;
            var arguments = new AmxPairs.Arguments { Weights = weights, Stride = padded * line * sizeof(ushort), Lines = count * 2 / line, Configuration = configuration };
            for (int token = 0; token < x.Tokens; token += AmxPairs.Tokens)
            {
                arguments.Inputs = (ushort*)x.Pairs + ((nint)first * 2 / line * padded + token) * line;
                arguments.Sums = sums + token * PairPanel.Rows;
                arguments.Last = token + AmxPairs.Tokens >= x.Tokens ? 1 : 0;
                code.Multiply(ref arguments);
                arguments.Configuration = null;
            }
        }
    }
}
