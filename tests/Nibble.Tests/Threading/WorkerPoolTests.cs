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

    private unsafe struct CountRange : IRangeJob
    {
        public int* Runs;

        public readonly void Run(int from, int to)
        {
            for (int i = from; i < to; i++) Interlocked.Increment(ref Runs[i]);
        }
    }

    private struct FailingRange : IRangeJob
    {
        public readonly void Run(int from, int to)
        {
            if (from <= 70 && to > 70) throw new FormatException("part with 70 fails");
        }
    }

    /// <summary>The caller is held up in its first part until all the rest of the range has run.</summary>
    private unsafe struct SlowCallerRange : IRangeJob
    {
        public int* Ran;

        public readonly void Run(int from, int to)
        {
            if (from == 0)
                while (Volatile.Read(ref *Ran) < Count - to) Thread.Yield();
            Interlocked.Add(ref *Ran, to - from);
        }

        public const int Count = 100;
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

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(16)]
    public unsafe void Every_part_of_a_range_runs_once_whoever_takes_it(int workers)
    {
        using var pool = new WorkerPool(workers);
        int* runs = stackalloc int[200];
        for (int i = 0; i < 20_000; i++)
        {
            new Span<int>(runs, 200).Clear();
            int count = i % 150;
            var job = new CountRange { Runs = runs };
            pool.Run(ref job, count, least: 1 + i % 7);
            for (int n = 0; n < 200; n++) Assert.Equal(n < count ? 1 : 0, runs[n]);
        }
    }

    [Fact]
    public unsafe void Others_take_what_is_left_of_the_share_of_a_slow_worker()
    {
        using var pool = new WorkerPool(2);
        for (int i = 0; i < 200; i++)
        {
            int ran = 0;
            var job = new SlowCallerRange { Ran = &ran };
            pool.Run(ref job, SlowCallerRange.Count, least: 1);
            Assert.Equal(SlowCallerRange.Count, ran);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void A_part_that_fails_fails_the_job_and_leaves_the_pool_usable(int workers)
    {
        using var pool = new WorkerPool(workers);
        for (int i = 0; i < 3; i++)
        {
            var failing = new FailingRange();
            Exception thrown = Assert.ThrowsAny<Exception>(() => pool.Run(ref failing, 100, 4));
            Assert.Equal("part with 70 fails", thrown.Message);
        }
    }

    /// <summary>It is a hint: an address that nobody owns does no harm, and neither do ranges that change while workers look.</summary>
    [Fact]
    public unsafe void What_is_expected_may_be_anything()
    {
        using var pool = new WorkerPool(3);
        int* runs = stackalloc int[3];
        new Span<int>(runs, 3).Clear();
        MemoryRange[] ranges = [default, new(0x10, 1 << 20, 100), new(nint.MaxValue / 2, 4096, 1), new((nint)runs, 4, 3)];
        for (int i = 1; i <= 2000; i++)
        {
            pool.Expect(ranges.AsSpan(i % ranges.Length, Math.Min(i % 3, ranges.Length - i % ranges.Length)));
            var job = new CountJob { Runs = runs };
            pool.Run(ref job);
            if (i % 100 == 0) Thread.Sleep(1);
            for (int w = 0; w < 3; w++) Assert.Equal(i, runs[w]);
        }
    }

    [Fact]
    public void A_share_that_fails_fails_the_job_and_leaves_the_pool_usable()
    {
        using var pool = new WorkerPool(3);
        var failing = new FailingJob();
        var thrown = Assert.Throws<FormatException>(() => pool.Run(ref failing));
        Assert.Equal("share 1 fails", thrown.Message);
        Assert.Throws<FormatException>(() => pool.Run(ref failing));
    }

    private struct NestedJob : IParallelJob
    {
        public WorkerPool Pool;
        public Exception?[] Thrown;

        public readonly void Run(int worker, int workers)
        {
            WorkerPool pool = Pool;
            Thrown[2 * worker] = Record.Exception(() =>
            {
                var job = new FailingJob();
                pool.Run(ref job);
            });
            Thrown[2 * worker + 1] = Record.Exception(() =>
            {
                var range = new FailingRange();
                pool.Run(ref range, 100, 1);
            });
        }
    }

    [Fact]
    public void Two_jobs_at_once_are_refused()
    {
        using var pool = new WorkerPool(3);
        var outer = new NestedJob { Pool = pool, Thrown = new Exception?[6] };
        pool.Run(ref outer);
        Assert.All(outer.Thrown, e => Assert.IsType<InvalidOperationException>(e));
        var failing = new FailingRange();
        Assert.Throws<FormatException>(() => pool.Run(ref failing, 100, 1));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public unsafe void It_is_disposed_once_and_what_runs_later_runs_alone(int workers)
    {
        var pool = new WorkerPool(workers);
        pool.Dispose();
        pool.Dispose();
        int* runs = stackalloc int[workers];
        new Span<int>(runs, workers).Clear();
        var job = new CountJob { Runs = runs };
        pool.Run(ref job);
        Assert.Equal(Enumerable.Repeat(1, workers), new Span<int>(runs, workers).ToArray());
    }
}
