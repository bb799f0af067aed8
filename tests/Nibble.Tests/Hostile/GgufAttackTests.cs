using Nibble.Files.Gguf;
using Nibble.Tests.Files;

namespace Nibble.Tests.Hostile;

/// <summary>Attacks on GGUF.</summary>
public sealed class GgufAttackTests : IDisposable
{
    private const ulong Huge = 1UL << 63;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Refused(byte[] bytes) => Attack.Refused(_folder.Write("evil.gguf", bytes));

    private string Refused(GgufBytes bytes) => Refused(bytes.ToArray());

    private static GgufBytes OneEntry => GgufBytes.Header(entries: 1);

    private static GgufBytes OneTensor => GgufBytes.Header(tensors: 1);

    [Fact]
    public void A_file_cut_at_any_byte_is_refused()
    {
        byte[] valid = GgufBytes.Valid();
        const int closingPadding = 16; // all that may be missing: it carries nothing
        for (int length = 0; length < valid.Length - closingPadding; length++) Refused(valid[..length]);
        Assert.True(Attack.Survives(_folder.Write("good.gguf", valid.AsSpan(..^closingPadding))));
        Assert.True(Attack.Survives(_folder.Write("good.gguf", valid)));
    }

    [Theory, InlineData(0u), InlineData(1u), InlineData(4u), InlineData(0x7FFFFFFFu)]
    public void Another_version_is_refused(uint version) =>
        Assert.Contains("version", Refused(GgufBytes.Header(version)), StringComparison.Ordinal);

    [Fact]
    public void A_big_endian_file_is_refused() =>
        Assert.Contains("big-endian", Refused(GgufBytes.Header(0x03000000)), StringComparison.Ordinal);

    [Fact]
    public void Another_magic_is_refused() => Refused("GGML\x3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"u8.ToArray());

    [Theory, InlineData(Huge, 0), InlineData(0, Huge), InlineData(ulong.MaxValue, ulong.MaxValue), InlineData(1UL << 32, 0), InlineData(0, 1UL << 32)]
    public void Counts_beyond_the_file_are_refused(ulong tensors, ulong entries) =>
        Refused(GgufBytes.Header(3, tensors, entries).Raw(new byte[4096]));

    [Theory, InlineData(Huge), InlineData(ulong.MaxValue), InlineData(1UL << 31), InlineData(100UL)]
    public void A_string_longer_than_the_file_is_refused(ulong length)
    {
        Refused(OneEntry.U64(length).Raw("key"u8));
        Refused(OneEntry.Key("key", 8).U64(length).Raw("value"u8));
        Refused(OneTensor.U64(length).Raw(new byte[64]));
    }

    [Theory, InlineData(Huge), InlineData(ulong.MaxValue), InlineData(1UL << 61), InlineData(1UL << 31), InlineData(9UL)]
    public void An_array_longer_than_the_file_is_refused(ulong count)
    {
        for (uint type = 0; type <= 12; type++) Refused(OneEntry.Key("key", 9).U32(type).U64(count).Raw(new byte[8]));
    }

    [Fact]
    public void An_array_that_a_sparse_file_has_bytes_for_is_not_allocated()
    {
        string path = _folder.Write("evil.gguf", OneEntry.Key("key", 9).U32(8).U64(1 << 27).ToArray());
        using (var sparse = new FileStream(path, FileMode.Open)) sparse.SetLength(1L << 31);
        Attack.Refused(path);
    }

    [Fact]
    public void Deeply_nested_arrays_are_refused()
    {
        GgufBytes file = OneEntry.Key("key", 9);
        for (int i = 0; i < 100_000; i++) file.U32(9).U64(1);
        Assert.Contains("nested", Refused(file), StringComparison.Ordinal);
    }

    [Theory, InlineData(13u), InlineData(uint.MaxValue)]
    public void An_unknown_value_type_is_refused(uint type)
    {
        Refused(OneEntry.Key("key", type).U64(0));
        Refused(OneEntry.Key("key", 9).U32(type).U64(0).U64(0));
    }

    [Fact]
    public void A_boolean_that_is_neither_is_refused() => Refused(OneEntry.Key("key", 7).U8(2));

    [Fact]
    public void Text_that_is_not_utf8_is_refused()
    {
        Refused(OneEntry.U64(3).Raw([0xFF, 0xFE, 0xFD]).U32(0).U8(0));
        Refused(OneEntry.Key("key", 8).U64(2).Raw([0xC3, 0x28]));
        Refused(OneTensor.U64(2).Raw([0xC3, 0x28]).U32(1).U64(1).U32(0).U64(0).Pad().F32(1));
    }

    [Fact]
    public void An_empty_key_is_refused() => Refused(OneEntry.Key("", 0).U64(0));

    [Fact]
    public void Two_keys_or_tensors_of_one_name_are_refused()
    {
        Refused(GgufBytes.Header(entries: 2).Key("key", 0).U8(1).Key("key", 0).U8(1));
        Refused(GgufBytes.Header(tensors: 2).Tensor("t", [1], 0, 0).Tensor("t", [1], 0, 32).Pad().F32(1).Pad().F32(1).Pad());
    }

    [Theory, InlineData(0u), InlineData(3u), InlineData(48u), InlineData(uint.MaxValue)]
    public void An_alignment_that_is_no_power_of_two_is_refused(uint alignment) =>
        Assert.Contains("power of two", Refused(OneEntry.Key("general.alignment", 4).U32(alignment)), StringComparison.Ordinal);

    [Fact]
    public void An_alignment_of_another_type_is_refused() => Refused(OneEntry.Key("general.alignment", 8).Text("32"));

    [Fact]
    public void An_alignment_beyond_the_file_is_refused() => Refused(GgufBytes.Header(tensors: 1, entries: 1)
        .Key("general.alignment", 4).U32(1u << 31).Tensor("t", [1], 0, 0).Pad().F32(1));

    [Theory, InlineData(5u), InlineData(uint.MaxValue)]
    public void More_than_four_dimensions_are_refused(uint dimensions) =>
        Refused(OneTensor.Text("t").U32(dimensions).Raw(new byte[256]));

    [Theory, InlineData(new[] { Huge }), InlineData(new[] { ulong.MaxValue }), InlineData(new[] { 1UL << 32, 1UL << 32 }),
     InlineData(new[] { 1UL << 62, 4UL }), InlineData(new[] { 1UL << 62 }), InlineData(new[] { 3UL, 6148914691236517206UL })]
    public void A_shape_that_overflows_is_refused(ulong[] dimensions) =>
        Refused(OneTensor.Tensor("t", dimensions, 0, 0).Pad().Raw(new byte[64]));

    [Theory, InlineData(4u), InlineData(31u), InlineData(38u), InlineData(99u), InlineData(uint.MaxValue)]
    public void An_unknown_tensor_type_is_refused_by_its_number(uint type)
    {
        string message = Refused(OneTensor.Tensor("blk.0.odd", [32], type, 0).Pad().Raw(new byte[256]));
        Assert.Contains("'blk.0.odd'", message, StringComparison.Ordinal);
        Assert.Contains($"{type}", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_row_that_the_block_does_not_divide_is_refused() =>
        Refused(OneTensor.Tensor("t", [33], 2, 0).Pad().Raw(new byte[64]));

    [Theory, InlineData(0UL, 0UL), InlineData(0UL, 64UL), InlineData(0UL, 4UL), InlineData(32UL, 0UL), InlineData(32UL, 64UL), InlineData(0UL, Huge)]
    public void Tensors_that_overlap_leave_gaps_or_are_out_of_order_are_refused(ulong a, ulong b) => Refused(
        GgufBytes.Header(tensors: 2).Tensor("a", [4], 0, a).Tensor("b", [4], 0, b).Pad().Raw(new byte[128]));

    [Theory, InlineData(1UL << 40), InlineData(17UL)]
    public void Data_beyond_the_file_is_refused(ulong columns) =>
        Assert.Contains("cut short", Refused(OneTensor.Tensor("t", [columns], 0, 0).Pad().Raw(new byte[64])), StringComparison.Ordinal);

    [Fact]
    public void Data_behind_the_last_tensor_is_counted_and_never_read()
    {
        using var file = new GgufFile(_folder.Write("padded.gguf", [.. GgufBytes.Valid(), .. new byte[5]]));
        using var valid = new GgufFile(_folder.Write("valid.gguf", GgufBytes.Valid()));
        Assert.Equal((5L, 0L), (file.BytesBehind, valid.BytesBehind));
        Assert.Equal(valid.Tensors.Select(t => t.Name), file.Tensors.Select(t => t.Name));
    }

    [Fact]
    public void A_hostile_name_stays_one_short_line() =>
        Refused(OneTensor.Tensor("\u001b[2J\r\n\u2028" + new string('x', 10_000), [1], 99, 0));

    [Fact]
    public void A_type_without_a_format_is_listed_and_refused_only_when_loaded()
    {
        string path = _folder.Write("q8k.gguf", OneTensor.Tensor("t", [256], 15, 0).Pad().Raw(new byte[292]).Pad().ToArray());
        using var file = Nibble.Files.TensorFile.Open(path);
        Assert.Equal(("Q8_K", null, 292L), (file.Tensors[0].Type, file.Tensors[0].Format, file.Tensors[0].Bytes));
        Attack.Refused(path, () => file.Load(file.Tensors[0]));
    }
}
