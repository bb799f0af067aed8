namespace Nibble.Files;

/// <summary>Where a tensor's bytes lie.</summary>
internal readonly record struct Placed(TensorInfo Tensor, MappedFile File, long Offset);

/// <summary>Tensors that lie in one or more mapped files: what safetensors and GGUF have in common once they are parsed.</summary>
public abstract unsafe class MappedTensors : TensorFile
{
    private readonly Dictionary<string, Placed> _places;
    private readonly IReadOnlyList<MappedFile> _files;

    /// <param name="path">The path as the user gave it.</param>
    /// <param name="files">Disposed with this.</param>
    /// <param name="places">In the file's order, names unique, each within its file.</param>
    private protected MappedTensors(string path, IReadOnlyList<MappedFile> files, IReadOnlyList<Placed> places)
    {
        Path = path;
        _files = files;
        Tensors = [.. places.Select(p => p.Tensor)];
        _places = places.ToDictionary(p => p.Tensor.Name);
    }

    public override string Path { get; }

    public override IReadOnlyList<TensorInfo> Tensors { get; }

    /// <summary>The length of all files together, headers and all.</summary>
    public long FileBytes => _files.Sum(f => f.Length);

    public override IReadOnlyList<string> Files => [.. _files.Select(f => f.Path)];

    public override TensorInfo? Find(string name) => _places.TryGetValue(name, out Placed place) ? place.Tensor : null;

    public override byte* Data(TensorInfo tensor)
    {
        Placed place = _places[tensor.Name];
        return place.File.Pointer + place.Offset;
    }

    public override void Advise(TensorInfo tensor, long offset, long bytes, MemoryAdvice advice)
    {
        Placed place = _places[tensor.Name];
        place.File.Advise(place.Offset + offset, Math.Min(bytes, tensor.Bytes - offset), advice);
    }

    /// <summary>The process need not hold what it has read so far any longer: headers, and tensors that were copied. A later read brings it back.</summary>
    public void LetGo()
    {
        foreach (MappedFile file in _files) file.Advise(0, file.Length, MemoryAdvice.DontNeed);
    }

    public override void Dispose()
    {
        foreach (MappedFile file in _files) file.Dispose();
        GC.SuppressFinalize(this);
    }

    private protected override object Owner(TensorInfo tensor) => _places[tensor.Name].File.Share();
}
