using Nibble.Core.Threading;

namespace Nibble.Tests.Threading;

public class WorkerPoolTests
{
    private unsafe struct CountJob : IParallelJob
    {
        public int* Runs;

        public readonly void Run(int worker, int workers) => Interlocked.Increment(ref Runs[worker]);
    }

    private struct FailingJob : IParallelJob
    {
        public readonly void Run(int worker, int workers)
        {
            if (worker == 1) throw new FormatException("share 1 fails");
        }
    }

    /// <summary>The caller finishes only its own share; whoever else runs is held up until all other shares are begun.</summary>
    private unsafe struct SlowWorkerJob : IParallelJob
    {
        public int* Begun;

        public readonly void Run(int worker, int workers)
        {
            Interlocked.Increment(ref *Begun);
            if (Environment.CurrentManagedThreadId == Caller) return;
            while (Volatile.Read(ref *Begun) < workers) Thread.Yield();
        }

        public static int Caller;
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(16)]
    public unsafe void Every_share_runs_once_a_job_however_many_workers_there_are(int workers)
    {
        const int Jobs = 20_000;
        using var pool = new WorkerPool(workers);
        int* runs = stackalloc int[workers];
        new Span<int>(runs, workers).Clear();
        for (int i = 1; i <= Jobs; i++)
        {
            var job = new CountJob { Runs = runs };
            pool.Run(ref job);
            for (int w = 0; w < workers; w++) Assert.Equal(i, runs[w]);
        }
    }

    [Fact]
    public unsafe void The_caller_takes_the_shares_that_no_worker_has_begun()
    {
        using var pool = new WorkerPool(4);
        SlowWorkerJob.Caller = Environment.CurrentManagedThreadId;
        for (int i = 0; i < 200; i++)
        {
            int begun = 0;
            var job = new SlowWorkerJob { Begun = &begun };
            pool.Run(ref job);
            Assert.Equal(4, begun);
        }
    }

    [Fact]
    public void A_share_that_fails_fails_the_job_and_leaves_the_pool_usable()
    {
        using var pool = new WorkerPool(3);
        var failing = new FailingJob();
        var thrown = Assert.Throws<InvalidOperationException>(() => pool.Run(ref failing));
        Assert.Equal("share 1 fails", thrown.Message);
        var again = Assert.Throws<InvalidOperationException>(() => pool.Run(ref failing));
        Assert.IsType<FormatException>(again.InnerException);
    }
}
