using Nibble.Core;

namespace Nibble.Files;

/// <summary>
/// Writes a file of tensors as a stream: the tensors are declared first, then the bytes of each follow in order, in pieces
/// of any length. Nothing of a tensor is kept in memory. The file takes its place at <see cref="Commit"/>.
/// </summary>
public abstract unsafe class TensorWriter : IDisposable
{
    private const int CopyBytes = 1 << 22;

    private readonly OutputFile _output;
    private readonly int _alignment, _headerBytes;
    private readonly Func<byte[]>? _finalHeader;
    private int _current;
    private long _written;

    /// <param name="output">An empty file, or one that a killed run left behind; disposed with this.</param>
    /// <param name="header">All that comes before the first tensor's first byte.</param>
    /// <param name="tensors">In the order of their data.</param>
    /// <param name="alignment">What every tensor is padded to, with zeros.</param>
    /// <param name="finalHeader">What takes the header's place at the end, as long; null if it stays.</param>
    private protected TensorWriter(OutputFile output, byte[] header, IReadOnlyList<TensorInfo> tensors, int alignment, Func<byte[]>? finalHeader = null)
    {
        _output = output;
        _alignment = alignment;
        _finalHeader = finalHeader;
        _headerBytes = header.Length;
        Tensors = tensors;
        bool isBegun = output.Stream.Length > 0;
        try
        {
            Begin(header);
        }
        catch
        {
            if (isBegun) _output.Keep();
            else _output.Dispose();
            throw;
        }
        SkipEmpty();
    }

    public string Path => _output.Path;

    public IReadOnlyList<TensorInfo> Tensors { get; }

    /// <summary>
    /// The tensor whose bytes come next, or null when all are written. A writer that resumes begins behind the last tensor
    /// that is whole.
    /// </summary>
    public TensorInfo? Current => _current < Tensors.Count ? Tensors[_current] : null;

    /// <summary>Tensors that are whole, from the first on.</summary>
    public int Finished => _current;

    /// <summary>Reads back a part of a tensor that is whole: what a run before this one wrote, to one that resumes it.</summary>
    /// <param name="tensor">The index of one that is <see cref="Finished"/>.</param>
    public void ReadBack(int tensor, long offset, Span<byte> bytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(tensor, _current);
        long at = _headerBytes + offset;
        for (int i = 0; i < tensor; i++) at += Tensors[i].Bytes + Padding(Tensors[i].Bytes, _alignment);
        while (!bytes.IsEmpty)
        {
            int read = RandomAccess.Read(_output.Stream.SafeFileHandle, bytes, at);
            if (read == 0) throw new EndOfStreamException($"{_output.PartialPath} has become shorter");
            bytes = bytes[read..];
            at += read;
        }
    }

    /// <summary>The next bytes of <see cref="Current"/>; they may not reach into the tensor behind it.</summary>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty) return;
        if (Current is not { } tensor || bytes.Length > tensor.Bytes - _written)
            throw new InvalidOperationException($"More bytes than were declared for tensor '{Current?.Name}'.");
        _output.Stream.Write(bytes);
        _output.WriteBehind();
        _written += bytes.Length;
        if (_written == tensor.Bytes) Next();
    }

    /// <summary>Copies a tensor from another file, unchanged; it must be <see cref="Current"/> and as long as declared.</summary>
    public void Copy(TensorFile source, TensorInfo tensor)
    {
        if (tensor.Bytes == 0) return;
        if (_written != 0 || Current?.Bytes != tensor.Bytes)
            throw new InvalidOperationException($"Tensor '{tensor.Name}' is not the next that was declared.");
        byte* data = source.Data(tensor);
        for (long at = 0; at < tensor.Bytes; at += CopyBytes)
        {
            int count = (int)Math.Min(CopyBytes, tensor.Bytes - at);
            Write(new ReadOnlySpan<byte>(data + at, count));
            source.Advise(tensor, at, count, MemoryAdvice.DontNeed);
        }
    }

    /// <summary>Puts the finished file in its place.</summary>
    /// <exception cref="InvalidOperationException">A tensor was declared and not written.</exception>
    public void Commit()
    {
        if (Current is { } tensor)
            throw new InvalidOperationException($"Tensor '{tensor.Name}' was declared and not written.");
        if (_finalHeader?.Invoke() is { } header)
        {
            if (header.Length != _headerBytes) throw new InvalidOperationException("The final header is not as long as the first.");
            _output.Stream.Position = 0;
            _output.Stream.Write(header);
        }
        _output.Commit();
    }

    /// <summary>Stops, but leaves what was written beside the file's place, for a later run to resume.</summary>
    public void Keep() => _output.Keep();

    /// <summary>Deletes what was written, unless it was committed or kept.</summary>
    public void Dispose()
    {
        _output.Dispose();
        GC.SuppressFinalize(this);
    }

    private static int Padding(long bytes, int alignment) => (int)((alignment - bytes % alignment) % alignment);

    /// <summary>The length of a file of such tensors.</summary>
    private protected static long Length(byte[] header, IReadOnlyList<TensorInfo> tensors, int alignment)
    {
        long length = header.Length;
        foreach (TensorInfo tensor in tensors) length = checked(length + tensor.Bytes + Padding(tensor.Bytes, alignment));
        return length;
    }

    /// <summary>Writes the header, and keeps what a killed run wrote behind the same one, up to its last whole tensor.</summary>
    private void Begin(byte[] header)
    {
        FileStream stream = _output.Stream;
        long end = header.Length;
        // A run killed before its header was whole left nothing worth keeping.
        if (stream.Length >= header.Length)
        {
            var found = new byte[header.Length];
            stream.ReadExactly(found);
            // One killed when all was written has the final header.
            if (!found.AsSpan().SequenceEqual(header) && _finalHeader?.Invoke().AsSpan().SequenceEqual(found) != true)
                throw new UnusableInputException($"{_output.PartialPath}: was begun from another model or with other settings; delete it, or do not resume");
            while (Current is { } tensor && end + tensor.Bytes + Padding(tensor.Bytes, _alignment) <= stream.Length)
            {
                end += tensor.Bytes + Padding(tensor.Bytes, _alignment);
                _current++;
            }
        }
        stream.SetLength(end);
        stream.Position = 0;
        stream.Write(header);
        stream.Position = end;
    }

    private void Next()
    {
        Span<byte> zeros = stackalloc byte[256];
        zeros.Clear();
        for (int padding = Padding(_written, _alignment); padding > 0; padding -= zeros.Length)
            _output.Stream.Write(zeros[..Math.Min(padding, zeros.Length)]);
        _written = 0;
        _current++;
        SkipEmpty();
    }

    private void SkipEmpty()
    {
        while (Current is { Bytes: 0 }) _current++;
    }
}
