using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Nibble.Core.Kernels;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Threading;

namespace Nibble.Cli;

/// <summary>
/// How many products of 8-bit integers all workers together make from registers, with the instructions that prefill uses
/// here: the ceiling of prefill in formats whose codes are integers.
/// </summary>
internal static class Int8Peak
{
    private const int Turns = 1 << 21, Passes = 5;

    /// <summary>Operations a second, a product and its addition being two; the best of a few passes.</summary>
    public static double Measure(WorkerPool pool)
    {
        double best = 0;
        for (int pass = 0; pass < Passes; pass++)
        {
            long started = Stopwatch.GetTimestamp();
            var job = new DotJob();
            pool.Run(ref job);
            best = Math.Max(best, 2.0 * Turns * DotJob.Products * pool.Workers / Stopwatch.GetElapsedTime(started).TotalSeconds);
        }
        return best;
    }

    private struct DotJob : IParallelJob
    {
        public static int Products => DotLoop.IsInUse ? DotLoop.Products : 12 * Vector256<byte>.Count;

        public readonly void Run(int worker, int workers)
        {
            if (DotLoop.IsInUse) DotLoop.Run(Turns);
            else if (VnniDot.IsSupported) Loop<VnniDot>(Turns);
            else if (Avx2Dot.IsSupported) Loop<Avx2Dot>(Turns);
            else Loop<PortableDot>(Turns);
        }

        /// <summary>Twelve sums, so that none waits for itself.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Loop<TDot>(int turns) where TDot : IIntegerDot
        {
            Vector256<int> a = default, b = default, c = default, d = default, e = default, f = default;
            Vector256<int> g = default, h = default, i = default, j = default, k = default, l = default;
            // Not known to be zero by the compiler.
            var weights = Vector256.Create((byte)(turns >> 30));
            var x = Vector256.Create((sbyte)(turns >> 30));
            for (int turn = 0; turn < turns; turn++)
            {
                (a, b, c) = (TDot.Add(a, weights, x), TDot.Add(b, weights, x), TDot.Add(c, weights, x));
                (d, e, f) = (TDot.Add(d, weights, x), TDot.Add(e, weights, x), TDot.Add(f, weights, x));
                (g, h, i) = (TDot.Add(g, weights, x), TDot.Add(h, weights, x), TDot.Add(i, weights, x));
                (j, k, l) = (TDot.Add(j, weights, x), TDot.Add(k, weights, x), TDot.Add(l, weights, x));
            }
            // The operands are zero; the branch only keeps the products from being removed.
            if (Vector256.Sum(a + b + c + d + e + f + g + h + i + j + k + l) != 0) throw new InvalidOperationException("Zeros made a sum.");
        }
    }
}
