using Nibble.Core.Memory;
using Nibble.Files;
using Nibble.Files.Gguf;

namespace Nibble.Tests.Files;

public sealed unsafe class GgufTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory, InlineData(2u), InlineData(3u)]
    public void Every_metadata_type_is_read(uint version)
    {
        using var file = new GgufFile(_folder.Write("a.gguf", GgufBytes.Valid(version)));
        GgufMetadata metadata = file.Metadata;
        Assert.Equal(version, file.Version);
        Assert.Equal(64u, file.Alignment);
        Assert.Equal(17, metadata.Count);
        Assert.Equal("llama", metadata.GetString("general.architecture"));
        Assert.Equal((byte)200, metadata.Find("a.u8"));
        Assert.Equal((sbyte)-2, metadata.Find("a.i8"));
        Assert.Equal(ushort.MaxValue, metadata.Find("a.u16"));
        Assert.Equal(short.MinValue, metadata.Find("a.i16"));
        Assert.Equal(-1, metadata.GetInt32("a.i32"));
        Assert.Equal(1e-5f, metadata.GetFloat("a.f32"));
        Assert.True(metadata.GetBool("a.bool"));
        Assert.Equal(ulong.MaxValue, metadata.Find("a.u64"));
        Assert.Equal(long.MinValue, metadata.Find("a.i64"));
        Assert.Equal(Math.PI, metadata.Find("a.f64"));
        Assert.Equal(["", "Ġhällo", "▁x"], metadata.GetArray<string>("a.strings"));
        Assert.Equal([1, 0], metadata.GetIntegers("a.bools"));
        Array[] nested = metadata.GetArray<Array>("a.nested");
        Assert.Equal(new uint[] { 7, 8 }, nested[0]);
        Assert.Equal(new[] { "in" }, nested[1]);
        Assert.Empty(metadata.GetArray<int>("a.empty"));
    }

    [Fact]
    public void Tensors_are_views_of_the_file_with_the_outermost_dimension_first()
    {
        using var file = new GgufFile(_folder.Write("a.gguf", GgufBytes.Valid()));
        Assert.Equal(["matrix", "vector", "scalar", "cube"], file.Tensors.Select(t => t.Name));
        Assert.Equal([4L, 3, 2], file.Get("cube").Shape);
        Assert.Equal((12L, 2L), (file.Get("cube").Rows, file.Get("cube").Columns));
        Weight vector = file.Load(file.Get("vector"));
        var row = new float[5];
        vector.ReadRow(0, row);
        Assert.Equal([0f, 1, 2, 3, 4], row);
        Weight matrix = file.Load(file.Get("matrix"));
        Assert.Equal("Q8_0", matrix.Format.Name);
        Assert.Equal((byte)(34 * 3), matrix.Row(1)[0]);
        Assert.Equal(77, *(int*)file.Data(file.Get("scalar")));
        Assert.Null(file.Get("scalar").Format);
        Assert.Equal("I32", file.Get("scalar").Type);
    }

    [Fact]
    public void What_is_read_and_written_again_is_the_same_to_the_byte()
    {
        byte[] bytes = GgufBytes.Valid();
        using (var file = new GgufFile(_folder.Write("a.gguf", bytes)))
        using (var writer = new GgufWriter(_folder.PathOf("b.gguf"), file.Metadata, file.Tensors))
        {
            foreach (TensorInfo tensor in file.Tensors) writer.Copy(file, tensor);
            writer.Commit();
        }
        Assert.Equal(bytes, File.ReadAllBytes(_folder.PathOf("b.gguf")));
        Assert.Equal(2, Directory.GetFiles(_folder.Path).Length);
    }

    [Fact]
    public void A_view_outlives_the_file_it_came_from()
    {
        Weight vector;
        using (var file = new GgufFile(_folder.Write("a.gguf", GgufBytes.Valid()))) vector = file.Load(file.Get("vector"));
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var row = new float[5];
        vector.ReadRow(0, row);
        Assert.Equal(4, row[4]);
    }
}
