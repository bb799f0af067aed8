using System.Runtime.InteropServices;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Files;
using Nibble.Files.Gguf;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// The importance of the columns of every matrix of a model, by GGUF tensor name, in the file that llama.cpp writes and
/// reads (tools/imatrix): a GGUF file with the tensors <c>NAME.in_sum2</c> and <c>NAME.counts</c>. Its older layout is read too.
/// </summary>
public sealed partial class ImportanceMatrix
{
    private const string TypeKey = "general.type", Type = "imatrix";
    private const string DatasetsKey = "imatrix.datasets", ChunksKey = "imatrix.chunk_count", ChunkTokensKey = "imatrix.chunk_size";
    private const string SumsEnd = ".in_sum2", CountsEnd = ".counts";

    private ImportanceMatrix(string path, IReadOnlyDictionary<string, ColumnImportance> tensors) => (Path, Tensors) = (path, tensors);

    /// <param name="tensors">By GGUF tensor name.</param>
    /// <param name="datasets">The names of the texts.</param>
    /// <param name="chunks">Chunks of text that were read.</param>
    /// <param name="chunkTokens">Tokens of each.</param>
    public ImportanceMatrix(IReadOnlyDictionary<string, ColumnImportance> tensors, IReadOnlyList<string> datasets, uint chunks, uint chunkTokens)
        : this("", tensors) => (Datasets, Chunks, ChunkTokens) = (datasets, chunks, chunkTokens);

    /// <summary>The file it was read from, or empty.</summary>
    public string Path { get; }

    public IReadOnlyDictionary<string, ColumnImportance> Tensors { get; }

    public IReadOnlyList<string> Datasets { get; private init; } = [];

    public uint Chunks { get; private init; }

    /// <summary>0 in a file of the old layout.</summary>
    public uint ChunkTokens { get; private init; }

    /// <summary>Reads a file of either layout.</summary>
    /// <exception cref="UnusableInputException">It is no importance matrix, or damaged.</exception>
    public static ImportanceMatrix Read(string path)
    {
        ImportanceMatrix matrix;
        using (var file = new MappedFile(path)) matrix = GgufFile.IsOne(file) ? ReadGguf(path) : new LegacyReader(file).Read();
        if (matrix.Tensors.Count == 0) throw new UnusableInputException($"{path}: holds the importance of no matrix; measure it again");
        foreach ((string name, ColumnImportance tensor) in matrix.Tensors)
            if (tensor.Sums.Any(s => !(s >= 0 && float.IsFinite(s))) || tensor.Counts.Any(c => !(c >= 0 && float.IsFinite(c))))
                throw new UnusableInputException($"{path}: the importance of {Quote.Name(name)} holds a number that is no sum of squares; measure it again");
        return matrix;
    }

    /// <summary>Writes the file as llama.cpp does, tensors in the order of their names.</summary>
    /// <exception cref="UnusableInputException">The file exists, or cannot be written.</exception>
    public void Write(string path, bool force)
    {
        var metadata = new GgufMetadata(path);
        metadata.Set(TypeKey, Type);
        metadata.Set(DatasetsKey, Datasets.ToArray());
        metadata.Set(ChunksKey, Chunks);
        metadata.Set(ChunkTokensKey, ChunkTokens);
        KeyValuePair<string, ColumnImportance>[] sorted = [.. Tensors.OrderBy(t => t.Key, StringComparer.Ordinal)];
        IEnumerable<(TensorInfo Info, float[] Numbers)> parts = sorted.SelectMany(t => new[]
        {
            (Matrix(t.Key + SumsEnd, t.Value.Parts, t.Value.Sums.Length / t.Value.Parts), t.Value.Sums),
            (Matrix(t.Key + CountsEnd, t.Value.Parts, 1), t.Value.Counts),
        });
        using var writer = new GgufWriter(path, metadata, [.. parts.Select(p => p.Info)], force);
        foreach ((_, float[] numbers) in parts) writer.Write(MemoryMarshal.AsBytes<float>(numbers));
        writer.Commit();
    }

    private static TensorInfo Matrix(string name, int rows, int columns) => TensorInfo.Of(name, FloatFormat.F32, rows == 1 ? [columns] : [rows, columns]);

    private static ImportanceMatrix ReadGguf(string path)
    {
        using var file = new GgufFile(path);
        if (file.Metadata.GetString(TypeKey, Type) != Type || !file.Tensors.Any(t => t.Name.EndsWith(SumsEnd, StringComparison.Ordinal)))
            throw new UnusableInputException($"{path}: is a GGUF file, but no importance matrix; 'nibble importance' makes one");
        var tensors = new Dictionary<string, ColumnImportance>();
        foreach (TensorInfo sums in file.Tensors.Where(t => t.Name.EndsWith(SumsEnd, StringComparison.Ordinal)))
        {
            string name = sums.Name[..^SumsEnd.Length];
            TensorInfo counts = file.Get(name + CountsEnd);
            if (sums.Type != "F32" || counts.Type != "F32" || counts.Elements == 0 || sums.Elements % counts.Elements != 0)
                throw new UnusableInputException($"{path}: the sums of {Quote.Name(name)} ({sums.Elements}, {sums.Type}) and its counts ({counts.Elements}, {counts.Type}) do not belong together; measure them again");
            tensors.Add(name, new ColumnImportance(Numbers(file.Load(sums)), Numbers(file.Load(counts))));
        }
        return new ImportanceMatrix(path, tensors)
        {
            Datasets = file.Metadata.Contains(DatasetsKey) ? file.Metadata.GetArray<string>(DatasetsKey) : [],
            Chunks = file.Metadata.GetUInt32(ChunksKey, 0),
            ChunkTokens = file.Metadata.GetUInt32(ChunkTokensKey, 0),
        };
    }

    private static float[] Numbers(Weight stored)
    {
        var numbers = new float[checked(stored.Rows * stored.Columns)];
        for (int r = 0; r < stored.Rows; r++) stored.ReadRow(r, numbers.AsSpan(r * stored.Columns, stored.Columns));
        return numbers;
    }
}
