namespace Nibble.Tests.Memory;

/// <summary>What the garbage collector must one day collect.</summary>
internal static class Allocations
{
    private const int MostAttempts = 20;

    /// <summary>Bytes that something allocates on this thread: none if it once did without.</summary>
    /// <param name="run">What is measured, once or more often; what it allocates only at first must have been before.</param>
    /// <param name="between">Run before it is measured again.</param>
    /// <remarks>
    /// A collection, which any thread may cause, counts what was left of this thread's buffer as allocated; one that has been
    /// counted already may do so a little later, so the same must be seen twice without one.
    /// </remarks>
    public static long Of(Action run, Action? between = null)
    {
        for (int attempt = 1, undisturbed = 0; ; attempt++)
        {
            int collections = GC.CollectionCount(0);
            long before = GC.GetAllocatedBytesForCurrentThread();
            run();
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            if (collections == GC.CollectionCount(0)) undisturbed++;
            if (allocated == 0 || undisturbed == 2 || attempt == MostAttempts) return allocated;
            between?.Invoke();
        }
    }
}
