using System.Text;
using Nibble.Files;
using Nibble.Files.Safetensors;
using Nibble.Tests.Files;

namespace Nibble.Tests.Hostile;

/// <summary>Attacks on safetensors, after those that the format's own crate tests (safetensors, tensor.rs).</summary>
public sealed class SafetensorsAttackTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static byte[] Bytes(string header, int data) =>
        [.. BitConverter.GetBytes((ulong)Encoding.UTF8.GetByteCount(header)), .. Encoding.UTF8.GetBytes(header), .. new byte[data]];

    private string Refused(byte[] bytes) => Attack.Refused(_folder.Write("evil.safetensors", bytes));

    private string Refused(string header, int data = 0) => Refused(Bytes(header, data));

    private static readonly byte[] Valid = Bytes(
        """{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[16,24]}}""", 24);

    [Fact]
    public void A_file_cut_at_any_byte_is_refused()
    {
        for (int length = 0; length < Valid.Length; length++) Refused(Valid[..length]);
        Assert.True(Attack.Survives(_folder.Write("good.safetensors", Valid)));
    }

    [Fact]
    public void A_header_longer_than_the_specification_allows_is_refused() =>
        Assert.Contains("100000000", Refused([.. BitConverter.GetBytes(100_000_001UL), .. "{}"u8]), StringComparison.Ordinal);

    [Theory, InlineData(ulong.MaxValue), InlineData(1UL << 63), InlineData(99_999_999UL), InlineData(3UL)]
    public void A_header_longer_than_the_file_is_refused(ulong length) => Refused([.. BitConverter.GetBytes(length), .. "{}"u8]);

    [Theory, InlineData(""), InlineData(" {}"), InlineData("[]"), InlineData("\"a\""), InlineData("\uFEFF{}")]
    public void A_header_that_does_not_begin_with_a_brace_is_refused(string header) => Refused(header);

    [Theory, InlineData("{"), InlineData("{}}"), InlineData("{}{}"), InlineData("{}\0"), InlineData("{\"a\"}"), InlineData("{,}"),
     InlineData("{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1],}}"), InlineData("{/**/}"), InlineData("{\"a\\ud800\":{}}")]
    public void A_header_that_is_not_strict_json_is_refused(string header) => Refused(header, 1);

    [Fact]
    public void A_header_that_is_not_utf8_is_refused() => Refused([2, 0, 0, 0, 0, 0, 0, 0, (byte)'{', 0xFF]);

    [Fact]
    public void Deeply_nested_json_is_refused() => Refused("{\"a\":" + new string('[', 1_000_000));

    [Fact]
    public void A_deeply_nested_tensor_is_refused() => Refused("{" + string.Concat(Enumerable.Repeat("\"a\":{", 100_000)));

    [Fact]
    public void Tensors_that_share_bytes_are_refused()
    {
        string tensors = string.Join(',', Enumerable.Range(0, 10).Select(i => $"\"w{i}\":{{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}"));
        Assert.Contains("overlap", Refused("{" + tensors + "}", 16), StringComparison.Ordinal);
    }

    [Theory, InlineData(0, 4, 2, 6, 6), InlineData(0, 4, 6, 10, 10), InlineData(4, 8, 8, 12, 12), InlineData(0, 4, 0, 4, 8)]
    public void Overlaps_and_gaps_are_refused(int a, int b, int c, int d, int data) =>
        Refused($"{{\"x\":{{\"dtype\":\"U8\",\"shape\":[{b - a}],\"data_offsets\":[{a},{b}]}},\"y\":{{\"dtype\":\"U8\",\"shape\":[{d - c}],\"data_offsets\":[{c},{d}]}}}}", data);

    [Fact]
    public void Tensors_listed_in_another_order_than_their_data_are_read()
    {
        using var file = new SafetensorsFile(_folder.Write("a.safetensors", Bytes(
            """{"y":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}""", 3)));
        Assert.Equal(["x", "y"], file.Tensors.Select(t => t.Name));
    }

    [Theory, InlineData("[4,0]"), InlineData("[0,9]"), InlineData("[-4,0]"), InlineData("[9223372036854775804,9223372036854775808]"),
     InlineData("[18446744073709551612,0]"), InlineData("[0]"), InlineData("[0,4,8]"), InlineData("[0.0,4.0]"), InlineData("[0,\"4\"]"),
     InlineData("{}"), InlineData("null"), InlineData("4")]
    public void Offsets_that_are_no_range_of_the_data_are_refused(string offsets) =>
        Refused($"{{\"a\":{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":{offsets}}}}}", 4);

    [Theory, InlineData("[2,18446744073709551614]"), InlineData("[2,9223372036854775807]"), InlineData("[4294967296,4294967296,4294967296]"),
     InlineData("[-1,-4]"), InlineData("[1e0]"), InlineData("[[1]]"), InlineData("[true]"), InlineData("[2]"), InlineData("[3,0]")]
    public void A_shape_that_overflows_or_does_not_fill_its_bytes_is_refused(string shape) =>
        Refused($"{{\"a\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,4]}}}}", 4);

    [Fact]
    public void A_shape_of_a_million_dimensions_is_refused() =>
        Refused($"{{\"a\":{{\"dtype\":\"U8\",\"shape\":[{string.Join(',', Enumerable.Repeat(1, 1_000_000))}],\"data_offsets\":[0,1]}}}}", 1);

    [Theory, InlineData("F33"), InlineData(""), InlineData("f32"), InlineData("Q4_0"), InlineData("F32\\n\\u001b[31mred")]
    public void An_unknown_type_is_refused(string type) =>
        Assert.Contains("BF16", Refused($"{{\"a\":{{\"dtype\":\"{type}\",\"shape\":[1],\"data_offsets\":[0,4]}}}}", 4), StringComparison.Ordinal);

    [Fact]
    public void Half_a_byte_is_refused() => Refused("""{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}""", 1);

    [Theory, InlineData("""{"shape":[1],"data_offsets":[0,1]}"""), InlineData("""{"dtype":"U8","data_offsets":[0,1]}"""),
     InlineData("""{"dtype":"U8","shape":[1]}"""), InlineData("""{"dtype":"U8","shape":[1],"data_offsets":[0,1],"stride":[1]}"""),
     InlineData("""{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}"""), InlineData("[]"), InlineData("1"), InlineData("null")]
    public void A_tensor_with_a_field_too_few_or_too_many_is_refused(string tensor) => Refused($"{{\"a\":{tensor}}}", 1);

    [Fact]
    public void Two_tensors_of_one_name_are_refused() => Refused(
        """{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0061":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}""", 2);

    [Theory, InlineData("[]"), InlineData("{\"a\":1}"), InlineData("{\"a\":\"x\",\"a\":\"y\"}"), InlineData("{},\"__metadata__\":{}")]
    public void Metadata_that_is_no_map_of_strings_is_refused(string metadata) => Refused($"{{\"__metadata__\":{metadata}}}");

    [Theory, InlineData(1), InlineData(35)]
    public void Data_behind_the_last_tensor_is_refused(int extra) => Refused([.. Valid, .. new byte[extra]]);

    [Fact]
    public void An_endless_or_hostile_name_stays_one_short_line() => Refused(
        $"{{\"{new string('x', 100_000)}\\r\\n\\u001b[2J\\u202e\":{{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,1]}}}}", 1);

    [Fact]
    public void Scalars_empty_tensors_and_padding_blanks_are_no_attack()
    {
        using var file = new SafetensorsFile(_folder.Write("a.safetensors", Bytes(
            "{\"z\":{\"dtype\":\"I32\",\"shape\":[2,0],\"data_offsets\":[0, 0]},\"s\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]}}\r \t\n", 4)));
        Assert.Equal([0L, 4], file.Tensors.Select(t => t.Bytes));
    }
}
