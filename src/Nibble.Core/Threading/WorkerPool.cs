using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;

namespace Nibble.Core.Threading;

/// <summary>A piece of work that every worker runs its share of.</summary>
public interface IParallelJob
{
    /// <param name="worker">0 to workers - 1.</param>
    /// <param name="workers">The number of workers that take part.</param>
    void Run(int worker, int workers);
}

/// <summary>
/// Threads of our own, so that a parallel region costs less than a small matrix product: workers spin for a bounded time,
/// then park, and ask memory for what comes next meanwhile. Nothing is allocated when a job runs. The caller is worker 0;
/// when its share is done it takes the shares that no worker has begun, so that a thread which the system has put aside
/// holds nobody up. Shares must not wait for each other. Several decoders may share a pool, one computing at a time; threads that
/// compute side by side need a pool each.
/// </summary>
public sealed unsafe partial class WorkerPool : IDisposable
{
    /// <summary>Looks at what is waited for before a thread parks (a worker, about 1.5 ms) or yields (the caller, about 10 us).</summary>
    private const int WorkerLooks = 40_000, CallerLooks = 250;

    private const int CacheLine = 64 / sizeof(int);

    private readonly Thread[] _threads;
    private readonly SemaphoreSlim _wake = new(0);
    /// <summary>The generation of the last share of each worker that somebody began; a cache line apart.</summary>
    private readonly int[] _begun;
    /// <summary>Whether a job runs; a cache line apart from what workers look at while they wait, so that taking it waits for nobody.</summary>
    private readonly int[] _inUse = new int[2 * CacheLine];
    private readonly ReadAhead _ahead;
    private delegate*<void*, int, int, void> _run;
    private void* _job;
    private Exception? _failure;
    private volatile bool _stopping;
    private volatile int _generation;
    private int _running;
    private int _parked;

    /// <param name="workers">Threads that take part, the caller included; 0 means one a core.</param>
    public WorkerPool(int workers = 0)
    {
        Workers = workers > 0 ? workers : Environment.ProcessorCount;
        _threads = new Thread[Workers - 1];
        _begun = new int[Workers * CacheLine];
        _taken = new int[Workers * CacheLine];
        _ahead = new ReadAhead(Workers);
        for (int i = 0; i < _threads.Length; i++)
        {
            int worker = i + 1;
            _threads[i] = new Thread(() => Work(worker)) { IsBackground = true, Name = $"nibble worker {worker}" };
            _threads[i].Start();
        }
    }

    public int Workers { get; }

    /// <summary>Runs the job on every worker and returns when all are done.</summary>
    /// <exception cref="Exception">What a worker threw, the first of them.</exception>
    /// <exception cref="InvalidOperationException">A job is running already: another thread's, or the one that this is called from.</exception>
    public void Run<TJob>(ref TJob job) where TJob : struct, IParallelJob
    {
        if (Workers == 1)
        {
            job.Run(0, 1);
            return;
        }
        Take();
        RunTaken(ref job);
    }

    /// <summary>Two jobs at once would run each other's shares, on memory that is long somebody else's.</summary>
    private void Take()
    {
        if (Interlocked.Exchange(ref _inUse[CacheLine], 1) != 0)
            throw new InvalidOperationException("the worker pool is in use already; threads that compute at the same time need a pool each");
    }

    private void RunTaken<TJob>(ref TJob job) where TJob : struct, IParallelJob
    {
        fixed (byte* pinned = &Unsafe.As<TJob, byte>(ref job))
        {
            _job = pinned;
            _run = &Invoke<TJob>;
            Volatile.Write(ref _running, Workers);
            Interlocked.Increment(ref _generation);
            int parked = Volatile.Read(ref _parked);
            if (parked > 0) _wake.Release(parked);
            RunShare(0);
            for (int worker = 1; worker < Workers; worker++)
                if (TryBegin(worker, _generation)) RunShare(worker);
            WaitForOthers();
        }
        Exception? failure = _failure;
        if (failure is not null) _failure = null;
        Volatile.Write(ref _inUse[CacheLine], 0);
        if (failure is not null) ExceptionDispatchInfo.Throw(failure);
    }

    /// <summary>Says what the job after the next will read, for workers that wait to ask memory for; none where it is not known.</summary>
    /// <param name="ranges">Of all of which workers read their shares, three at most.</param>
    internal void Expect(ReadOnlySpan<MemoryRange> ranges) => _ahead.Expect(ranges);

    private static void Invoke<TJob>(void* job, int worker, int workers) where TJob : struct, IParallelJob =>
        Unsafe.AsRef<TJob>(job).Run(worker, workers);

    private void RunShare(int worker)
    {
        try
        {
            _run(_job, worker, Workers);
        }
        catch (Exception e)
        {
            Interlocked.CompareExchange(ref _failure, e, null);
        }
        Interlocked.Decrement(ref _running);
    }

    /// <summary>
    /// Whether the share is the asker's to run. A worker that wakes late may ask for a generation that is long over: what was
    /// begun since then is newer, and stays.
    /// </summary>
    private bool TryBegin(int worker, int generation)
    {
        ref int begun = ref _begun[worker * CacheLine];
        int last = Volatile.Read(ref begun);
        return last - generation < 0 && Interlocked.CompareExchange(ref begun, generation, last) == last;
    }

    private void Work(int worker)
    {
        int seen = 0;
        while (true)
        {
            WaitForWork(worker, seen);
            if (_stopping) return;
            seen = _generation;
            if (TryBegin(worker, seen)) RunShare(worker);
        }
    }

    private void WaitForOthers()
    {
        for (int look = 0; look < CallerLooks; look++)
        {
            if (Volatile.Read(ref _running) == 0) return;
            Pause(0);
        }
        var spin = new SpinWait();
        while (Volatile.Read(ref _running) > 0) spin.SpinOnce(-1);
    }

    private void WaitForWork(int worker, int seen)
    {
        for (int look = 0; look < WorkerLooks; look++)
        {
            if (_generation != seen || _stopping) return;
            Pause(worker);
        }
        while (_generation == seen && !_stopping)
        {
            Interlocked.Increment(ref _parked);
            if (_generation == seen && !_stopping) _wake.Wait(50);
            Interlocked.Decrement(ref _parked);
        }
    }

    /// <summary>Between two looks: some 40 ns.</summary>
    private void Pause(int worker)
    {
        if (!_ahead.Ask(worker)) Thread.SpinWait(1);
    }

    /// <summary>Ends the threads. A job that is begun after that is the caller's alone.</summary>
    public void Dispose()
    {
        if (_stopping) return;
        _stopping = true;
        if (_threads.Length > 0) _wake.Release(_threads.Length);
        foreach (Thread thread in _threads) thread.Join();
        _wake.Dispose();
    }
}
