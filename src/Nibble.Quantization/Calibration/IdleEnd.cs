using Nibble.Models.Decoder;

namespace Nibble.Quantization.Calibration;

/// <summary>The last products of a layer, left out until this is disposed: where only what its weights read is looked at, nobody reads them.</summary>
internal sealed class IdleEnd : IDisposable
{
    private readonly Linear[] _last;

    /// <param name="layer">Its linear layers.</param>
    public IdleEnd(IEnumerable<Linear> layer)
    {
        _last = [.. layer.Where(l => l.Name.Contains(".ffn_down", StringComparison.Ordinal))];
        foreach (Linear linear in _last) linear.IsIdle = true;
    }

    public void Dispose()
    {
        foreach (Linear linear in _last) linear.IsIdle = false;
    }
}
