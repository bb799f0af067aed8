using System.Runtime.InteropServices;
using Nibble.Core.Formats;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Decoder;

/// <summary>A Hugging Face checkpoint written as GGUF under llama.cpp's names computes what it did before.</summary>
public class GgufRoundTripTests
{
    public static TheoryData<string> Decoders => GoldenArchitectureTests.Decoders;

    [Theory, MemberData(nameof(Decoders))]
    public void Logits_from_gguf_agree_with_transformers(string name)
    {
        string folder = GoldenCheckpoint.Folder(name);
        var golden = GoldenArchitecture.Read(folder);
        using var file = new TemporaryGguf(folder);
        using ModelSource source = ModelSource.Open(file.Path);
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool);
        int vocabulary = model.Config.Vocabulary;
        float[] logits = GoldenArchitectureTests.AllLogits(model, golden.InputIds);
        for (int i = 0; i < golden.Positions.Length; i++)
            GoldenArchitectureTests.AssertClose(golden.Logits[i], logits.AsSpan(golden.Positions[i] * vocabulary, vocabulary), $"{name}, position {golden.Positions[i]}");
    }

    [Theory]
    [InlineData("bert")]
    [InlineData("modernbert")]
    public void Hidden_states_from_gguf_agree_with_transformers(string name)
    {
        string folder = GoldenCheckpoint.Folder(name);
        var golden = GoldenArchitecture.Read(folder);
        using var file = new TemporaryGguf(folder);
        using ModelSource source = ModelSource.Open(file.Path);
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool);
        var states = new float[golden.InputIds.Length * model.Config.Hidden];
        model.Encode(golden.InputIds, states);
        for (int t = 0; t < golden.HiddenStates.Length; t++)
            GoldenArchitectureTests.AssertClose(golden.HiddenStates[t], states.AsSpan(t * model.Config.Hidden, model.Config.Hidden), $"{name}, position {t}");
    }

    /// <summary>Writes a model as GGUF in F32.</summary>
    /// <param name="change">Changes its metadata.</param>
    internal static void Write(ModelSource source, string path, Action<GgufMetadata> change)
    {
        var metadata = new GgufMetadata(path);
        source.WriteGgufMetadata(metadata);
        change(metadata);
        ExportTensor[] tensors = [.. source.GgufTensors()];
        using var writer = new GgufWriter(path, metadata, [.. tensors.Select(t => TensorInfo.Of(t.Name, FloatFormat.F32, t.Shape))]);
        foreach (ExportTensor tensor in tensors)
        {
            var row = new float[tensor.Columns];
            for (int r = 0; r < tensor.Rows; r++)
            {
                tensor.ReadRow(r, row);
                writer.Write(MemoryMarshal.AsBytes<float>(row));
            }
        }
        writer.Commit();
    }

    /// <summary>A GGUF file in F32 of a Hugging Face folder, deleted when disposed.</summary>
    internal sealed class TemporaryGguf : IDisposable
    {
        private readonly string _folder = Directory.CreateTempSubdirectory("nibble-test-").FullName;

        public TemporaryGguf(string checkpoint)
        {
            Path = System.IO.Path.Combine(_folder, "model.gguf");
            using ModelSource source = ModelSource.Open(checkpoint);
            Write(source, Path, _ => { });
        }

        public string Path { get; }

        public void Dispose() => Directory.Delete(_folder, recursive: true);
    }
}
