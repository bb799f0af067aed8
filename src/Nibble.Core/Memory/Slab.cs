using Nibble.Core.Threading;

namespace Nibble.Core.Memory;

/// <summary>
/// Native memory for what is made once and stays, such as packed matrices: one lies behind the other in slabs of whole huge
/// pages. By itself each would end in small pages, or have none but small ones. A slab is freed when all that lies in it is
/// collected.
/// </summary>
internal sealed unsafe class Slab
{
    private const nint Bytes = 256 << 20, Alignment = 64;

    /// <summary>Bytes that are touched together, so that all workers have pages to clear.</summary>
    private const nint Touched = 4 * NativeBuffer.HugePage;

    private static readonly Lock s_lock = new();
    private static readonly WeakReference<Slab?> s_current = new(null);

    private readonly NativeBuffer _buffer;
    private nint _used, _touched;

    private Slab(nint bytes) => _buffer = new NativeBuffer(bytes, clear: false, isLasting: true);

    /// <summary>
    /// Memory for what is packed of a weight, of unspecified contents and aligned to 64 bytes; it stays for as long as
    /// <paramref name="owner"/> is reachable. Weights that somebody made come and go, as while a model is quantized, and would
    /// keep the slab that others lie in: they get memory of their own.
    /// </summary>
    public static byte* Allocate(nint bytes, Weight of, WorkerPool pool, out object owner)
    {
        if (of.IsMapped)
        {
            byte* at = Allocate(bytes, pool, out Slab slab);
            owner = slab;
            return at;
        }
        var own = new NativeBuffer(bytes, clear: false);
        owner = own;
        return own.Pointer;
    }

    /// <summary>The same in a slab.</summary>
    /// <param name="bytes">How much.</param>
    /// <param name="pool">The workers that will fill it.</param>
    /// <param name="owner">What it lies in.</param>
    public static byte* Allocate(nint bytes, WorkerPool pool, out Slab owner)
    {
        lock (s_lock)
        {
            if (!s_current.TryGetTarget(out Slab? slab) || slab._buffer.Length - slab._used < bytes)
            {
                slab?._buffer.Discard(slab._used);
                s_current.SetTarget(slab = new Slab(Math.Max(Bytes, NativeBuffer.Whole(bytes, NativeBuffer.HugePage))));
            }
            owner = slab;
            byte* at = slab._buffer.Pointer + slab._used;
            slab._used += NativeBuffer.Whole(bytes, Alignment);
            slab.Touch(pool);
            return at;
        }
    }

    /// <summary>
    /// The system clears a page when it is touched first, which takes as long as filling it. Left to the workers that fill a
    /// matrix in shares, the page where two shares meet is cleared by whoever begins there, which is never the first worker.
    /// </summary>
    private void Touch(WorkerPool pool)
    {
        if (_used <= _touched) return;
        nint end = Math.Min(NativeBuffer.Whole(_used, Touched), _buffer.Length);
        var job = new TouchJob { From = _buffer.Pointer + _touched, Pages = (int)((end - _touched) / NativeBuffer.HugePage) };
        pool.Run(ref job);
        _touched = end;
    }

    /// <summary>Pages are taken as workers get free: where the system itself must be given memory first, one may take as long as twenty others.</summary>
    private struct TouchJob : IParallelJob
    {
        public byte* From;
        public int Pages, Taken;

        public void Run(int worker, int workers)
        {
            for (int page; (page = Interlocked.Increment(ref Taken) - 1) < Pages;) From[page * NativeBuffer.HugePage] = 0;
        }
    }
}
