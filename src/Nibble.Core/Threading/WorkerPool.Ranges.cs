using System.Runtime.CompilerServices;

namespace Nibble.Core.Threading;

/// <summary>A piece of work over a range, any part of which any worker may run.</summary>
public interface IRangeJob
{
    /// <summary>Runs a part; parts do not overlap, and together they are the range.</summary>
    void Run(int from, int to);
}

public sealed unsafe partial class WorkerPool
{
    /// <summary>How far the share of each worker has been taken; a cache line apart.</summary>
    private readonly int[] _taken;

    /// <summary>
    /// Runs the job over 0 to <paramref name="count"/>. Each worker takes its <see cref="ParallelRows.Share"/>, in parts that halve
    /// what is left of it, and then takes over from others: cores of a virtual machine do not run alike.
    /// </summary>
    /// <param name="job">Called with parts of the range.</param>
    /// <param name="count">The length of the range.</param>
    /// <param name="least">What is worth a call: no part is smaller but for the last of a share.</param>
    /// <exception cref="Exception">What a worker threw, the first of them.</exception>
    /// <exception cref="InvalidOperationException">A job is running already: another thread's, or the one that this is called from.</exception>
    public void Run<TJob>(ref TJob job, int count, int least) where TJob : struct, IRangeJob
    {
        if (Workers == 1)
        {
            job.Run(0, count);
            return;
        }
        Take();
        for (int worker = 0; worker < Workers; worker++) _taken[worker * CacheLine] = ParallelRows.Share(count, worker, Workers).From;
        fixed (byte* pinned = &Unsafe.As<TJob, byte>(ref job))
        {
            var parts = new Parts<TJob> { Job = pinned, Taken = _taken, Count = count, Least = least };
            RunTaken(ref parts);
        }
    }

    private struct Parts<TJob> : IParallelJob where TJob : struct, IRangeJob
    {
        public byte* Job;
        public int[] Taken;
        public int Count, Least;

        public readonly void Run(int worker, int workers)
        {
            for (int i = 0; i < workers; i++)
            {
                int owner = (worker + i) % workers, end = ParallelRows.Share(Count, owner, workers).To;
                ref int taken = ref Taken[owner * CacheLine];
                for (int from; (from = Volatile.Read(ref taken)) < end;)
                {
                    int to = Math.Min(end, from + Math.Max(Least, (end - from) / 2));
                    if (Interlocked.CompareExchange(ref taken, to, from) == from) Unsafe.AsRef<TJob>(Job).Run(from, to);
                }
            }
        }
    }
}
