using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Cli;

/// <summary>
/// How fast all workers together read memory that no cache holds: the ceiling of decoding, which reads every weight once
/// a token.
/// </summary>
internal static unsafe class ReadBandwidth
{
    private const long Smallest = 512L << 20, Largest = 1L << 30;
    private const int Passes = 6, Page = 4096;

    /// <summary>Bytes a second, the best of a few passes; every other one asks for each page before it reads it, which some processors gain by.</summary>
    public static double Measure(WorkerPool pool)
    {
        nint bytes = (nint)Math.Clamp(4 * LastLevelCacheBytes(), Smallest, Largest);
        using var buffer = new NativeBuffer(bytes, clear: false);
        // Pages that nobody wrote are one page of zeros, which a cache holds.
        NativeMemory.Clear(buffer.Pointer, (nuint)bytes);
        double best = 0;
        for (int pass = 0; pass < Passes; pass++)
        {
            long started = Stopwatch.GetTimestamp();
            var job = new SumJob { Data = buffer.Pointer, Bytes = bytes, AsksForPages = pass % 2 == 1 };
            pool.Run(ref job);
            best = Math.Max(best, bytes / Stopwatch.GetElapsedTime(started).TotalSeconds);
        }
        return best;
    }

    /// <summary>The size of the largest cache that Linux tells of, or 0.</summary>
    private static long LastLevelCacheBytes()
    {
        try
        {
            string size = File.ReadAllText("/sys/devices/system/cpu/cpu0/cache/index3/size").Trim();
            return long.Parse(size.TrimEnd('K'), System.Globalization.CultureInfo.InvariantCulture) << 10;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException)
        {
            return 0;
        }
    }

    private struct SumJob : IParallelJob
    {
        public byte* Data;
        public nint Bytes;
        public bool AsksForPages;

        public readonly void Run(int worker, int workers)
        {
            const int step = 4 * 64;
            nint from = Bytes / workers * worker / step * step, to = Bytes / workers * (worker + 1) / step * step;
            Vector512<long> a = default, b = default, c = default, d = default;
            for (byte* p = Data + from; p < Data + to; p += step)
            {
                if (AsksForPages && (nint)p % Page < step && Sse.IsSupported) Sse.PrefetchNonTemporal(p + Page);
                a += Vector512.Load((long*)p);
                b += Vector512.Load((long*)(p + 64));
                c += Vector512.Load((long*)(p + 128));
                d += Vector512.Load((long*)(p + 192));
            }
            // The buffer holds zeros; the branch only keeps the loads from being removed.
            if (Vector512.Sum(a + b + c + d) != 0) throw new InvalidOperationException("The measured memory changed.");
        }
    }
}
