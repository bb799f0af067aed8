namespace Nibble.Core.Memory;

/// <summary>Native memory that grows when more is asked for and is then reused; growing loses the contents.</summary>
public sealed unsafe class GrowingBuffer : IDisposable
{
    private NativeBuffer? _buffer;

    public byte* Pointer => _buffer is null ? null : _buffer.Pointer;

    public void Reserve(nint bytes)
    {
        if (_buffer is not null && _buffer.Length >= bytes) return;
        _buffer?.Dispose();
        _buffer = new NativeBuffer(bytes);
    }

    public void Dispose() => _buffer?.Dispose();
}
