using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>
/// The input of a matrix product: rows of float32, one a token, in native memory that is reused from product to product.
/// The codes that integer kernels want are made once, by the first product that needs them.
/// </summary>
public sealed unsafe class Activation : IDisposable
{
    private NativeBuffer _floats = new(0);

    public int Tokens { get; private set; }
    public int Columns { get; private set; }
    public float* Floats => (float*)_floats.Pointer;

    /// <summary>Sets the shape; the contents are then unspecified. Grows the memory if it must, never shrinks it.</summary>
    public void Resize(int tokens, int columns)
    {
        Tokens = tokens;
        Columns = columns;
        nint bytes = (nint)tokens * columns * sizeof(float);
        if (_floats.Length < bytes)
        {
            _floats.Dispose();
            _floats = new NativeBuffer(bytes);
        }
        Changed();
    }

    public Span<float> Row(int token) => new(Floats + (nint)token * Columns, Columns);

    /// <summary>Must be called after the floats were written: codes made from older values are dropped.</summary>
    public void Changed() => Version++;

    /// <summary>Counts the changes.</summary>
    public int Version { get; private set; }

    public void Dispose() => _floats.Dispose();
}
