using Nibble.Files;
using Nibble.Files.Safetensors;

namespace Nibble.Tests.Files;

public sealed unsafe class SafetensorsTests : IDisposable
{
    // What the safetensors crate writes for one tensor (its own test, test_serialization).
    private static readonly byte[] Golden =
    [
        64, 0, 0, 0, 0, 0, 0, 0, .. """{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}"""u8,
        0, 0, 0, 0, 0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64, 0, 0, 128, 64, 0, 0, 160, 64,
    ];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_file_of_the_reference_is_read()
    {
        using var file = new SafetensorsFile(_folder.Write("a.safetensors", Golden));
        TensorInfo tensor = Assert.Single(file.Tensors);
        Assert.Equal(("attn.0", "F32", 24L), (tensor.Name, tensor.Type, tensor.Bytes));
        Assert.Equal([1L, 2, 3], tensor.Shape);
        var row = new float[3];
        file.Load(tensor).ReadRow(1, row);
        Assert.Equal([3f, 4, 5], row);
    }

    [Fact]
    public void Our_writer_writes_what_the_reference_writes()
    {
        using (var file = new SafetensorsFile(_folder.Write("a.safetensors", Golden)))
        using (var writer = new SafetensorsWriter(_folder.PathOf("b.safetensors"), file.Tensors))
        {
            writer.Copy(file, file.Tensors[0]);
            writer.Commit();
        }
        Assert.Equal(Golden, File.ReadAllBytes(_folder.PathOf("b.safetensors")));
    }

    [Fact]
    public void Checkpoints_of_transformers_are_read_whole_single_and_sharded()
    {
        foreach (string folder in Directory.GetDirectories(SharedData.Path("golden/architectures")))
        {
            using TensorFile file = TensorFile.Open(folder);
            long onDisk = Directory.GetFiles(folder, "*.safetensors").Sum(f => new FileInfo(f).Length);
            Assert.Equal(onDisk, ((MappedTensors)file).FileBytes);
            Assert.All(file.Tensors, t => Assert.Equal(t.Name, file.Load(t).Name));
        }
    }
}
