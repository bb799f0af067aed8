using System.Runtime;

namespace Nibble.Training;

/// <summary>
/// Runs work on tensors without a garbage collection in between. TorchSharp 0.107 hands numbers to libtorch as objects
/// (Scalar) that nothing keeps alive during the call; a collection at that moment frees one under libtorch, which then
/// finds no number (seen once in some thousand updates). Tensors are safe: their scope holds them.
/// </summary>
/// <remarks>Work that allocates more than the allowance is collected after all, as it would be without this.</remarks>
internal sealed class Undisturbed(long weights)
{
    private static readonly Lock One = new();

    private const long Least = 64L << 20, Most = 1L << 30;

    /// <summary>Bytes that may be allocated: rounding a matrix by its format's own code takes two copies of it.</summary>
    private readonly long _allowance = Math.Min(Most, Least + 2 * sizeof(float) * weights);

    public T Run<T>(Func<T> work)
    {
        // A process has one such region; who comes second waits.
        using Lock.Scope only = One.EnterScope();
        bool begun = GC.TryStartNoGCRegion(_allowance);
        try
        {
            return work();
        }
        finally
        {
            if (begun && GCSettings.LatencyMode == GCLatencyMode.NoGCRegion) GC.EndNoGCRegion();
        }
    }
}
