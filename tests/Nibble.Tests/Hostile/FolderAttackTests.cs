using System.Text;
using Nibble.Tests.Files;

namespace Nibble.Tests.Hostile;

/// <summary>Attacks on a Hugging Face folder and its index, and paths that are no model.</summary>
public sealed class FolderAttackTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public FolderAttackTests()
    {
        Shard("one.safetensors", "a");
        Shard("two.safetensors", "b");
    }

    public void Dispose() => _folder.Dispose();

    private void Shard(string file, params string[] tensors)
    {
        string header = "{" + string.Join(',', tensors.Select((t, i) => $"\"{t}\":{{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[{i},{i + 1}]}}")) + "}";
        _folder.Write(file, [.. BitConverter.GetBytes((long)header.Length), .. Encoding.UTF8.GetBytes(header), .. new byte[tensors.Length]]);
    }

    private string Refused(string index)
    {
        _folder.Write("model.safetensors.index.json", Encoding.UTF8.GetBytes(index));
        return Attack.Refused(_folder.Path);
    }

    [Fact]
    public void A_good_index_is_no_attack()
    {
        _folder.Write("model.safetensors.index.json", """{"metadata":{"total_size":2},"weight_map":{"a":"one.safetensors","b":"two.safetensors"}}"""u8);
        Assert.True(Attack.Survives(_folder.Path));
    }

    [Fact]
    public void A_missing_shard_is_named() => Assert.Contains("'three.safetensors'",
        Refused("""{"weight_map":{"a":"one.safetensors","c":"three.safetensors"}}"""), StringComparison.Ordinal);

    [Theory, InlineData("""{"weight_map":{"a":"one.safetensors","c":"two.safetensors"}}"""),
     InlineData("""{"weight_map":{"a":"two.safetensors","b":"one.safetensors"}}""")]
    public void A_tensor_that_is_not_in_its_shard_is_refused(string index) => Refused(index);

    [Fact]
    public void A_tensor_in_two_shards_is_refused()
    {
        Shard("two.safetensors", "b", "a");
        Assert.Contains("two shards", Refused("""{"weight_map":{"a":"one.safetensors","b":"two.safetensors"}}"""), StringComparison.Ordinal);
    }

    [Theory, InlineData("../one.safetensors"), InlineData("/etc/passwd"), InlineData("..\\\\one"), InlineData(".."), InlineData(""), InlineData("a\\u0000b")]
    public void An_index_that_reaches_out_of_its_folder_is_refused(string shard) =>
        Assert.Contains("not the name of a file beside it", Refused($"{{\"weight_map\":{{\"a\":\"{shard}\"}}}}"), StringComparison.Ordinal);

    [Theory, InlineData("{"), InlineData("[]"), InlineData("{}"), InlineData("{\"weight_map\":{}}"), InlineData("{\"weight_map\":[]}"),
     InlineData("{\"weight_map\":{\"a\":1}}"), InlineData("{\"weight_map\":{\"a\":\"one.safetensors\",\"a\":\"one.safetensors\"}}"),
     InlineData("{\"weight_map\":{\"a\":\"one.safetensors\"},\"weight_map\":{}}"), InlineData("{\"weight_map\":{\"\\ud800\":\"one.safetensors\"}}"),
     InlineData("{\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[")]
    public void An_index_that_is_none_is_refused(string index) => Refused(index);

    [Fact]
    public void A_folder_without_weights_says_what_it_has_instead() =>
        Assert.Contains("'one.safetensors'", Attack.Refused(_folder.Path), StringComparison.Ordinal);

    [Fact]
    public void A_damaged_shard_is_named()
    {
        _folder.Write("two.safetensors", "nonsense"u8);
        _folder.Write("model.safetensors.index.json", """{"weight_map":{"a":"one.safetensors","b":"two.safetensors"}}"""u8);
        Attack.Refused(_folder.PathOf("two.safetensors"), () => Nibble.Files.TensorFile.Open(_folder.Path));
    }

    [Fact]
    public void A_path_to_nothing_says_what_would_be_right() =>
        Assert.Contains(".gguf", Attack.Refused(_folder.PathOf("nothing")), StringComparison.Ordinal);

    [Fact]
    public void A_file_of_another_kind_says_what_would_be_right()
    {
        Assert.Contains(".gguf", Attack.Refused(_folder.Write("readme", "hello, this is text"u8)), StringComparison.Ordinal);
        Assert.Contains("PyTorch", Attack.Refused(_folder.Write("pytorch_model.bin", "PK\x3\x4 and so on"u8)), StringComparison.Ordinal);
    }

    [Fact]
    public void The_content_decides_where_the_extension_lies()
    {
        Assert.True(Attack.Survives(_folder.Write("a.safetensors", GgufBytes.Valid())));
        File.Move(_folder.PathOf("one.safetensors"), _folder.PathOf("one.gguf"));
        Assert.True(Attack.Survives(_folder.PathOf("one.gguf")));
    }

    /// <summary>Names, types and shapes that no checkpoint has: a scalar where a matrix belongs, one weight packed in two ways, rows of terabytes.</summary>
    [Theory]
    [InlineData("bitsandbytes", "'a.weight'", "a.weight F32 ", "a.SCB F32 1")]
    [InlineData("fp8", "two ways", "a.weight F8_E4M3 2,2", "a.weight_scale F32 1", "a.weight_scale_inv F32 1")]
    [InlineData("gptq", "2^31", "a.qweight I32 1,1073741824", "a.scales F16 1,1073741824", "a.qzeros I32 1,1")]
    public void Parts_of_packed_weights_that_make_no_sense_are_refused(string method, string message, params string[] tensors)
    {
        File.Delete(_folder.PathOf("one.safetensors"));
        File.Delete(_folder.PathOf("two.safetensors"));
        _folder.Write("config.json", Encoding.UTF8.GetBytes($"{{\"model_type\":\"llama\",\"quantization_config\":{{\"quant_method\":\"{method}\"}}}}"));
        long end = 0;
        string header = "{" + string.Join(',', tensors.Select(t =>
        {
            string[] words = t.Split(' ');
            long[] shape = [.. words[2].Split(',', StringSplitOptions.RemoveEmptyEntries).Select(long.Parse)];
            long begin = end;
            end += shape.Aggregate(words[1] switch { "F8_E4M3" => 1L, "F16" => 2, _ => 4 }, (bytes, n) => bytes * n);
            return $"\"{words[0]}\":{{\"dtype\":\"{words[1]}\",\"shape\":[{words[2]}],\"data_offsets\":[{begin},{end}]}}";
        })) + "}";
        using (FileStream file = File.Create(_folder.PathOf("model.safetensors")))
        {
            file.Write([.. BitConverter.GetBytes((long)header.Length), .. Encoding.UTF8.GetBytes(header)]);
            file.SetLength(file.Length + end); // a hole: it takes no room
        }
        Assert.Contains(message, Attack.Refused(_folder.Path), StringComparison.Ordinal);
    }

    [Fact]
    public void A_pipe_is_refused_though_its_name_seems_to_be_that_of_a_file()
    {
        if (!OperatingSystem.IsLinux()) Assert.Skip("names of open files are Linux's");
        using var pipe = new System.IO.Pipes.AnonymousPipeServerStream();
        Attack.Refused($"/proc/self/fd/{pipe.SafePipeHandle.DangerousGetHandle()}");
    }
}
