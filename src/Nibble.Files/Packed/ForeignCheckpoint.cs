using Nibble.Core;
using Nibble.Core.Memory;

namespace Nibble.Files.Packed;

/// <summary>
/// A Hugging Face checkpoint whose weights another program packed (GPTQ, AWQ, compressed-tensors, bitsandbytes, FP8,
/// MXFP4), seen as tensors in our formats. A weight is translated when it is loaded, bit by bit and without rounding.
/// </summary>
public sealed unsafe class ForeignCheckpoint : TensorFile
{
    private readonly MappedTensors _file;
    private readonly Dictionary<string, (TensorInfo Info, ForeignTensor? Packed)> _tensors;
    private readonly Dictionary<string, Weight> _whole = [];

    private ForeignCheckpoint(MappedTensors file, string method, ForeignParts parts)
    {
        _file = file;
        Method = method;
        Notices = parts.Notices;
        (TensorInfo Info, ForeignTensor? Packed)[] tensors = [.. parts.Tensors()];
        Tensors = [.. tensors.Select(t => t.Info)];
        _tensors = [];
        foreach ((TensorInfo Info, ForeignTensor? Packed) tensor in tensors)
            if (!_tensors.TryAdd(tensor.Info.Name, tensor))
                throw new UnusableInputException($"{file.Path}: has tensor {Quote.Name(tensor.Info.Name)} twice, packed and not");
    }

    /// <summary>The checkpoint as it is, or seen through the layout that its config.json names.</summary>
    /// <param name="file">Disposed with the result, or on failure.</param>
    /// <param name="folder">Where config.json lies.</param>
    /// <exception cref="UnusableInputException">The layout is not known, or a part of a packed weight is missing or of a wrong shape.</exception>
    internal static TensorFile Open(MappedTensors file, string folder)
    {
        try
        {
            if (QuantizationConfig.Read(folder) is not { } config || config.Method == PackedConfig.Method) return file;
            string method = config.Method;
            ForeignLayout layout = ForeignLayout.All.FirstOrDefault(l => l.Methods.Contains(method)) ?? throw config.Error("quant_method",
                $"is {Quote.Name(method)}, a layout that is not known; known are {string.Join(", ", ForeignLayout.All.SelectMany(l => l.Methods))}");
            var parts = new ForeignParts(file);
            layout.Find(parts, config);
            return new ForeignCheckpoint(file, method, parts);
        }
        catch (OverflowException e)
        {
            file.Dispose();
            throw new UnusableInputException($"{file.Path}: a packed weight has more than 2^31 rows or columns, or parts of rows of 2^31 bytes; no such weight is computed", e);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>The method that config.json names.</summary>
    public string Method { get; }

    public override string Path => _file.Path;

    public override IReadOnlyList<string> Files => _file.Files;

    public override IReadOnlyList<string> Notices { get; }

    public override IReadOnlyList<TensorInfo> Tensors { get; }

    public override TensorInfo? Find(string name) => _tensors.TryGetValue(name, out var tensor) ? tensor.Info : null;

    public override Weight Load(TensorInfo tensor) =>
        _tensors[tensor.Name].Packed is { } packed ? packed.Translate(0, Rows(tensor)) : _file.Load(tensor);

    public override Weight Load(TensorInfo tensor, int firstRow, int rows) =>
        _tensors[tensor.Name].Packed is { } packed ? packed.Translate(firstRow, rows) : _file.Load(tensor, firstRow, rows);

    /// <summary>The first byte of a tensor's data; that of a packed one is then kept until this is disposed.</summary>
    public override byte* Data(TensorInfo tensor)
    {
        if (_tensors[tensor.Name].Packed is not { } packed) return _file.Data(tensor);
        lock (_whole)
        {
            if (!_whole.TryGetValue(tensor.Name, out Weight? whole)) _whole[tensor.Name] = whole = packed.Translate(0, Rows(tensor));
            return whole.Data;
        }
    }

    public override void Advise(TensorInfo tensor, long offset, long bytes, MemoryAdvice advice)
    {
        if (_tensors[tensor.Name].Packed is null) _file.Advise(tensor, offset, bytes, advice);
    }

    public override void Dispose()
    {
        _whole.Clear();
        _file.Dispose();
    }

    private int Rows(TensorInfo tensor) => tensor.Rows <= int.MaxValue ? (int)tensor.Rows
        : throw new UnusableInputException($"{Path}: tensor {Quote.Name(tensor.Name)} has more than 2^31 rows");
}
