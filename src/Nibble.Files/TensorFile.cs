using Nibble.Core;
using Nibble.Core.Memory;
using Nibble.Files.Gguf;
using Nibble.Files.Packed;
using Nibble.Files.Safetensors;

namespace Nibble.Files;

/// <summary>Named tensors in a file (or in the shards of one), mapped, never copied.</summary>
public abstract unsafe class TensorFile : IDisposable
{
    private const string WhatWouldBeRight =
        "a model is a folder with config.json and model.safetensors (or its shards and index), a .safetensors file or a .gguf file";

    /// <summary>The path as the user gave it, for messages.</summary>
    public abstract string Path { get; }

    /// <summary>The files that hold it: one, or its shards.</summary>
    public virtual IReadOnlyList<string> Files => [Path];

    /// <summary>What of the file is not computed as it says, or is left out, a sentence each.</summary>
    public virtual IReadOnlyList<string> Notices => [];

    /// <summary>In the file's order.</summary>
    public abstract IReadOnlyList<TensorInfo> Tensors { get; }

    /// <summary>The tensor of this name, or null.</summary>
    public abstract TensorInfo? Find(string name);

    /// <summary>The first byte of a tensor's data, valid until the file is disposed.</summary>
    public abstract byte* Data(TensorInfo tensor);

    /// <summary>
    /// Opens a Hugging Face folder, a safetensors file or a GGUF file (its first shard opens them all); the content
    /// decides where the extension lies.
    /// </summary>
    /// <exception cref="UnusableInputException">There is nothing, or it is nothing of these, or it is damaged.</exception>
    public static TensorFile Open(string path)
    {
        if (Directory.Exists(path)) return PackedConfig.IsPacked(path) ? new PackedFolder(path) : ForeignCheckpoint.Open(new SafetensorsFolder(path), path);
        if (!File.Exists(path)) throw new UnusableInputException($"{path}: there is no such file or folder; {WhatWouldBeRight}");
        using (var file = new MappedFile(path))
        {
            if (GgufFile.IsOne(file)) return new GgufFile(path);
            if (SafetensorsFile.IsOne(file)) return ForeignCheckpoint.Open(new SafetensorsFile(path), System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path))!);
            if (file.Length >= 2 && file.Pointer[0] == 'P' && file.Pointer[1] == 'K')
                throw new UnusableInputException($"{path}: is a zip archive, as PyTorch writes (.bin, .pt); convert it to safetensors first");
        }
        return System.IO.Path.GetExtension(path).ToUpperInvariant() switch
        {
            ".GGUF" => new GgufFile(path),
            ".SAFETENSORS" => new SafetensorsFile(path),
            _ => throw new UnusableInputException($"{path}: is neither safetensors nor GGUF; {WhatWouldBeRight}"),
        };
    }

    /// <summary>The tensor of this name.</summary>
    /// <exception cref="UnusableInputException">There is none.</exception>
    public TensorInfo Get(string name) =>
        Find(name) ?? throw new UnusableInputException($"{Path}: has no tensor {Quote.Name(name)}; 'nibble inspect' lists those it has");

    /// <summary>
    /// A view of a tensor as a matrix of <see cref="TensorInfo.Rows"/> by <see cref="TensorInfo.Columns"/>. The view
    /// keeps the memory mapped, even after this file is disposed.
    /// </summary>
    /// <exception cref="UnusableInputException">The tensor's type holds no weights, or its block does not divide the row.</exception>
    public virtual Weight Load(TensorInfo tensor)
    {
        if (tensor.Format is null)
            throw new UnusableInputException($"{Path}: tensor {Quote.Name(tensor.Name)} is of type {tensor.Type}, which holds no weights");
        if (tensor.Rows > int.MaxValue || tensor.Columns > int.MaxValue)
            throw new UnusableInputException($"{Path}: tensor {Quote.Name(tensor.Name)} has more than 2^31 rows or columns");
        object owner = Owner(tensor);
        return new Weight(tensor.Name, tensor.Format, (int)tensor.Rows, (int)tensor.Columns, Data(tensor), owner);
    }

    /// <summary>The same of some of its rows: one expert of many, one part of a fused tensor.</summary>
    public virtual Weight Load(TensorInfo tensor, int firstRow, int rows)
    {
        Weight whole = Load(tensor);
        return rows == whole.Rows ? whole : whole.Slice(tensor.Name, firstRow, rows);
    }

    /// <summary>
    /// Says what will happen to a part of a tensor's data. Whoever reads a model once, front to back, says
    /// <see cref="MemoryAdvice.DontNeed"/> behind itself, and its resident memory stays small.
    /// </summary>
    public virtual void Advise(TensorInfo tensor, long offset, long bytes, MemoryAdvice advice) { }

    /// <summary>Says what will happen to the whole of a tensor's data.</summary>
    public void Advise(TensorInfo tensor, MemoryAdvice advice) => Advise(tensor, 0, tensor.Bytes, advice);

    /// <summary>What a view of this tensor must keep alive.</summary>
    private protected virtual object Owner(TensorInfo tensor) => this;

    public abstract void Dispose();
}
