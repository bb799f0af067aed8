namespace Nibble.Models.Decoder;

/// <summary>
/// Whose turn it is with native memory that one thread at a time may use: whoever comes second, or too late, gets an exception
/// instead of wrong numbers. What is disposed while it is in use is freed when that use ends.
/// </summary>
internal struct Turn
{
    private const int Free = 0, Taken = 1, Disposed = 2;

    private int _state;

    /// <exception cref="InvalidOperationException">Somebody else has it.</exception>
    /// <exception cref="ObjectDisposedException">It was disposed.</exception>
    public void Take(object owner)
    {
        int state = Interlocked.CompareExchange(ref _state, Taken, Free);
        ObjectDisposedException.ThrowIf(state == Disposed, owner);
        if (state == Taken)
            throw new InvalidOperationException($"the {owner.GetType().Name} is in use already; two threads, or a call within another, need one each");
    }

    /// <returns>True if it was disposed meanwhile, and is to be freed now.</returns>
    public bool GiveBack() => Interlocked.CompareExchange(ref _state, Free, Taken) == Disposed;

    /// <returns>True if it is to be freed now: nobody has it, and it was not disposed before.</returns>
    public bool Dispose() => Interlocked.Exchange(ref _state, Disposed) == Free;
}
