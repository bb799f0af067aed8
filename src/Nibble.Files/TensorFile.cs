using Nibble.Core;
using Nibble.Core.Memory;

namespace Nibble.Files;

/// <summary>Named tensors in a file (or in the shards of one), mapped, never copied.</summary>
public abstract unsafe class TensorFile : IDisposable
{
    /// <summary>The path as the user gave it, for messages.</summary>
    public abstract string Path { get; }

    /// <summary>In the file's order.</summary>
    public abstract IReadOnlyList<TensorInfo> Tensors { get; }

    /// <summary>The tensor of this name, or null.</summary>
    public abstract TensorInfo? Find(string name);

    /// <summary>The first byte of a tensor's data, valid until the file is disposed.</summary>
    public abstract byte* Data(TensorInfo tensor);

    /// <summary>A view of a tensor as a matrix of <see cref="TensorInfo.Rows"/> by <see cref="TensorInfo.Columns"/>.</summary>
    /// <exception cref="UnusableInputException">The tensor's type holds no weights, or its block does not divide the row.</exception>
    public Weight Load(TensorInfo tensor)
    {
        if (tensor.Format is null)
            throw new UnusableInputException($"{Path}: tensor '{tensor.Name}' is of type {tensor.Type}, which holds no weights");
        if (tensor.Rows > int.MaxValue || tensor.Columns > int.MaxValue)
            throw new UnusableInputException($"{Path}: tensor '{tensor.Name}' has more than 2^31 rows or columns");
        return new Weight(tensor.Name, tensor.Format, (int)tensor.Rows, (int)tensor.Columns, Data(tensor), this);
    }

    public abstract void Dispose();
}
